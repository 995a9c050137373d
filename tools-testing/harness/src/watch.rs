// SPDX-License-Identifier: GPL-2.0
//! A watchpoint on the guest's memory, as the kernel reaches it: by its own map of all memory, so
//! that what this process writes to the same bytes is not counted.

use std::fs::{read_to_string, File};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;

use object::elf::{FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};
use object::Endianness;
use perf_event::events::Breakpoint;
use perf_event::{Builder, Counter};

use super::outcome::{Outcome, Stop};
use crate::abi::PAGE_SIZE;

/// The bytes that one covers.
pub const WATCHED: u64 = 4;

/// The frame's number in an entry of /proc/self/pagemap.
const FRAME: u64 = (1 << 55) - 1;

/// Where the kernel's map of all memory begins if it is not placed at random, by the levels of its
/// page tables (Documentation/arch/x86/x86_64/mm.rst in the kernel).
const FOUR_LEVELS: u64 = 0xffff_8880_0000_0000;
const FIVE_LEVELS: u64 = 0xff11_0000_0000_0000;
/// Where the kernel's image is mapped once more, with the memory of it that was freed after boot.
const IMAGE: u64 = 0xffff_ffff_8000_0000;

/// A watchpoint, for as long as this lives.
pub struct Watch(Counter);

impl Watch {
    /// Counts what the kernel writes, when this thread calls it, to the [`WATCHED`] bytes at `hva`,
    /// an address of this process. Skips the case where that can't be watched.
    pub fn new(hva: u64) -> Outcome<Self> {
        let skip = |what: &str, why: String| Stop::Skip(format!("{what}: {why}"));
        let physical =
            physical(hva).map_err(|why| skip("the guest's page is not to be found", why))?;
        let begin =
            kernel_map(physical).map_err(|why| skip("nor is the kernel's map of it", why))?;
        let watchpoint = Breakpoint::write(begin.wrapping_add(physical), WATCHED);
        let mut builder = Builder::new().kind(watchpoint);
        builder.include_kernel().pinned(true);
        let counter = builder.build().and_then(|mut counter| {
            counter.enable()?;
            Ok(counter)
        });
        let refused =
            |error: std::io::Error| skip("no watchpoint in the kernel", error.to_string());
        counter.map(Self).map_err(refused)
    }

    /// How often it was written to.
    pub fn writes(&mut self) -> Outcome<u64> {
        Ok(self.0.read()?)
    }
}

/// The physical address of a byte of this process that is in memory.
fn physical(hva: u64) -> Result<u64, String> {
    let page = PAGE_SIZE as u64;
    let mut entry = [0; 8];
    let pagemap = File::open("/proc/self/pagemap");
    let read = pagemap.and_then(|file| file.read_exact_at(&mut entry, hva / page * 8));
    read.map_err(|error| format!("/proc/self/pagemap: {error}"))?;
    match u64::from_le_bytes(entry) & FRAME {
        0 => Err("/proc/self/pagemap does not say which frame it is in".into()),
        frame => Ok(frame * page + hva % page),
    }
}

/// Where the kernel's map of all memory begins that this address is in.
fn kernel_map(physical: u64) -> Result<u64, String> {
    let mut headers = [0; PAGE_SIZE];
    let read = File::open("/proc/kcore").and_then(|core| core.read_at(&mut headers, 0));
    match read {
        Ok(length) => {
            by_core(&headers[..length], physical).ok_or_else(|| "/proc/kcore lacks it".to_owned())
        }
        // A kernel without it is a small one, which has nothing placed at random.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let cpus = read_to_string("/proc/cpuinfo").unwrap_or_default();
            let has_five = cpus.split_whitespace().any(|flag| flag == "la57");
            Ok(if has_five { FIVE_LEVELS } else { FOUR_LEVELS })
        }
        Err(error) => Err(format!("/proc/kcore: {error}")),
    }
}

/// The same, by the headers of the kernel's core file: each segment has both addresses.
fn by_core(core: &[u8], physical: u64) -> Option<u64> {
    let header = FileHeader64::<Endianness>::parse(core).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, core).ok()?;
    let has = |segment: &&object::elf::ProgramHeader64<Endianness>| {
        let offset = physical.checked_sub(segment.p_paddr(endian));
        segment.p_type(endian) == PT_LOAD
            && segment.p_vaddr(endian) < IMAGE
            && offset.is_some_and(|offset| offset < segment.p_memsz(endian))
    };
    let segment = segments.iter().find(has)?;
    Some(
        segment
            .p_vaddr(endian)
            .wrapping_sub(segment.p_paddr(endian)),
    )
}

#[cfg(test)]
mod tests {
    use super::{by_core, IMAGE};

    /// A core file's headers, with these segments: address, physical address and size.
    fn core(segments: &[[u64; 3]]) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(64, 0);
        bytes[16] = 4;
        bytes[18] = 62;
        bytes[20] = 1;
        bytes[32] = 64;
        bytes[52] = 64;
        bytes[54] = 56;
        bytes[56] = segments.len() as u8;
        for [address, physical, size] in segments {
            bytes.extend([1, 0, 0, 0, 7, 0, 0, 0]);
            for word in [0, *address, *physical, *size, *size, 0] {
                bytes.extend(word.to_le_bytes());
            }
        }
        bytes
    }

    #[test]
    fn a_core_file_says_where_memory_is_mapped() {
        // The first is the kernel's image, the third one without a physical address.
        let core = core(&[
            [IMAGE, 0x4000, 0x8000],
            [0x9000_1000, 0x1000, 0x1000],
            [0xc000_0000, u64::MAX, 0x1000],
            [0x9000_4000, 0x4000, 0x2000],
        ]);
        assert_eq!(by_core(&core, 0x1fff), Some(0x9000_0000));
        assert_eq!(by_core(&core, 0x5123), Some(0x9000_0000));
        assert_eq!(by_core(&core, 0x2000), None);
        assert_eq!(by_core(b"no core", 0), None);
    }
}
