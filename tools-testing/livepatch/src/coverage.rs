// SPDX-License-Identifier: GPL-2.0
//! What has run of a module that is built with coverage: its counters are in its memory, and have to
//! be kept before that goes.

use anyhow::{bail, Context, Result};
use protocol::MODULE_NAME;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;

/// The section of counters, eight bytes each; only that build has it.
const COUNTERS: &str = "__llvm_prf_cnts";

/// Where the sums of those of all modules that were there are kept.
const KEPT: &str = "/run/kvm-xen-coverage";

const KCORE: &str = "/proc/kcore";

/// Adds what the module has counted to what is kept, if it counts.
pub fn keep() -> Result<()> {
    let Some((start, end)) = counters()? else {
        return Ok(());
    };
    let counters = kernel_memory(start, end - start).context(KCORE)?;
    let mut sums = words(&counters);
    for (sum, kept) in sums.iter_mut().zip(counted()?) {
        *sum += kept;
    }
    let bytes: Vec<u8> = sums.into_iter().flat_map(u64::to_le_bytes).collect();
    fs::write(KEPT, bytes).context(KEPT)
}

/// What is kept; nothing where no module has counted.
pub fn counted() -> Result<Vec<u64>> {
    match fs::read(KEPT) {
        Ok(bytes) => Ok(words(&bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).context(KEPT),
    }
}

/// Where the module's counters are: up to the section that follows them, which is of LLVM's, too.
fn counters() -> Result<Option<(u64, u64)>> {
    let directory = format!("/sys/module/{MODULE_NAME}/sections");
    let address = |name: &str| -> Result<u64> {
        let path = format!("{directory}/{name}");
        let text = fs::read_to_string(&path).with_context(|| path.clone())?;
        u64::from_str_radix(text.trim().trim_start_matches("0x"), 16).context(path)
    };
    if !fs::exists(format!("{directory}/{COUNTERS}"))? {
        return Ok(None);
    }
    let start = address(COUNTERS)?;
    let mut next: Option<u64> = None;
    for entry in fs::read_dir(&directory).with_context(|| directory.clone())? {
        let other = address(&entry?.file_name().to_string_lossy())?;
        if other > start && next.is_none_or(|next| other < next) {
            next = Some(other);
        }
    }
    Ok(next.map(|end| (start, end)))
}

/// Bytes of the kernel's memory, which is there as a core file is.
fn kernel_memory(address: u64, len: u64) -> Result<Vec<u8>> {
    let core = File::open(KCORE)?;
    let mut head = [0; 64];
    core.read_exact_at(&mut head, 0)?;
    let segments = words(&head)[4];
    let count = u64::from(u16::from_le_bytes([head[56], head[57]]));
    for index in 0..count {
        let mut segment = [0; 56];
        core.read_exact_at(&mut segment, segments + index * 56)?;
        let segment = words(&segment);
        let [offset, start, size] = [1, 2, 5].map(|field| segment[field]);
        let inside = address.wrapping_sub(start);
        if inside < size && size - inside >= len {
            let mut bytes = vec![0; len as usize];
            core.read_exact_at(&mut bytes, offset + inside)?;
            return Ok(bytes);
        }
    }
    bail!("it has nothing at {address:#x}")
}

fn words(bytes: &[u8]) -> Vec<u64> {
    let words = bytes.chunks_exact(8).map(|word| word.try_into());
    words.flatten().map(u64::from_le_bytes).collect()
}
