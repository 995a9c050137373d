// SPDX-License-Identifier: GPL-2.0
//! What has run of a module that is built with coverage (`tools-testing/coverage`): it is in the
//! module's memory, and so has to be kept before that goes.

use anyhow::{bail, Context, Result};
use protocol::MODULE_NAME;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;

/// As in `trace_pc.c`: two times so many bytes.
const SIZE: usize = 2 * 256 * 1024;

/// Where it is kept, of all modules that were there.
const KEPT: &str = "/run/kvm-xen-coverage";

const KCORE: &str = "/proc/kcore";

/// Adds what has run to what is kept, if the module tells of it.
pub fn keep() -> Result<()> {
    let path = format!("/sys/module/{MODULE_NAME}/parameters/coverage");
    let address = match fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().with_context(|| path.clone())?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).context(path),
    };
    let mut all = kernel_memory(address, SIZE).context(KCORE)?;
    for (all, kept) in all.iter_mut().zip(kept()?) {
        *all |= kept;
    }
    fs::write(KEPT, all).context(KEPT)
}

/// The offsets of what has run, those of the initialization's code after the others; none where no
/// module has told.
pub fn places() -> Result<Vec<u32>> {
    let kept = kept()?;
    let ran = (0..).zip(kept).filter(|(_, ran)| *ran != 0);
    Ok(ran.map(|(at, _)| at).collect())
}

fn kept() -> Result<Vec<u8>> {
    match fs::read(KEPT) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        result => result.context(KEPT),
    }
}

/// Bytes of the kernel's memory, which is there as a core file is.
fn kernel_memory(address: u64, len: usize) -> Result<Vec<u8>> {
    let core = File::open(KCORE)?;
    let mut head = [0; 64];
    core.read_exact_at(&mut head, 0)?;
    let segments = word(&head, 32);
    let count = u64::from(u16::from_le_bytes([head[56], head[57]]));
    for index in 0..count {
        let mut segment = [0; 56];
        core.read_exact_at(&mut segment, segments + index * 56)?;
        let [offset, start, size] = [8, 16, 40].map(|at| word(&segment, at));
        let inside = address.wrapping_sub(start);
        if inside < size && size - inside >= len as u64 {
            let mut bytes = vec![0; len];
            core.read_exact_at(&mut bytes, offset + inside)?;
            return Ok(bytes);
        }
    }
    bail!("it has nothing at {address:#x}")
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}
