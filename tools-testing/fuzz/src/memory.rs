// SPDX-License-Identifier: GPL-2.0
//! Memory of the guests: RAM with their code, and the area. Mapped once, before
//! any sequence, always at the same addresses; each sequence finds it as new.

use std::ffi::c_void;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::ptr;

use anyhow::{anyhow, Context, Result};
use harness::abi::PAGE_SIZE;
use harness::guest_cpu;
use harness::memory::{Ram, AREA_PAGES, RAM_SIZE};
use nix::errno::Errno;
use nix::sys::memfd::{memfd_create, MFdFlags};

use crate::op::Page;

/// Far from where the kernel puts mappings by itself, so that nothing else comes
/// to lie where a sequence has unmapped a page.
const AREA_HVA: usize = 0x10_0000_0000;
const RAM_HVA: usize = 0x18_0000_0000;

const AREA_SIZE: usize = AREA_PAGES * PAGE_SIZE;

/// What a page of the area allows the VMM.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Hole,
    None,
    Read,
    Write,
}

/// Memory of the guest.
pub struct Memory {
    image: std::fs::File,
    pages: [Access; AREA_PAGES],
}

fn at(address: usize) -> *mut c_void {
    ptr::with_exposed_provenance_mut(address)
}

fn map(address: usize, size: usize, fd: i32, flags: i32) -> Result<()> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: these addresses are this module's: nothing else is mapped there, which
    // MAP_FIXED_NOREPLACE verifies the first time.
    let mapped = unsafe { libc::mmap(at(address), size, protection, flags, fd, 0) };
    if mapped == libc::MAP_FAILED {
        return Err(Errno::last()).with_context(|| format!("mapping memory at {address:#x}"));
    }
    Ok(())
}

impl Memory {
    /// Maps it, in this process and those that it forks.
    pub fn new() -> Result<Self> {
        let filled = Ram::unattached().and_then(|ram| {
            guest_cpu::fill(&ram)?;
            ram.read(0, RAM_SIZE)
        });
        let bytes = filled.map_err(|stop| anyhow!("the guest's code: {stop:?}"))?;
        let mut image = std::fs::File::from(memfd_create(c"guest", MFdFlags::MFD_CLOEXEC)?);
        image.write_all(&bytes)?;
        let fixed = libc::MAP_PRIVATE | libc::MAP_FIXED_NOREPLACE;
        map(RAM_HVA, RAM_SIZE, image.as_raw_fd(), fixed)?;
        map(AREA_HVA, AREA_SIZE, -1, fixed | libc::MAP_ANONYMOUS)?;
        Ok(Self {
            image,
            pages: [Access::Write; AREA_PAGES],
        })
    }

    /// That of the process that this one was forked from.
    pub fn inherited(&self) -> Result<Self> {
        Ok(Self {
            image: self.image.try_clone()?,
            pages: self.pages,
        })
    }

    /// Makes it as new. No VM may have it.
    pub fn reset(&mut self) -> Result<()> {
        // What was written to private pages of a file is gone with them.
        let fixed = libc::MAP_PRIVATE | libc::MAP_FIXED;
        map(RAM_HVA, RAM_SIZE, self.image.as_raw_fd(), fixed)?;
        map(AREA_HVA, AREA_SIZE, -1, fixed | libc::MAP_ANONYMOUS)?;
        self.pages = [Access::Write; AREA_PAGES];
        Ok(())
    }

    /// Address of the RAM.
    pub fn ram(&self) -> u64 {
        RAM_HVA as u64
    }

    /// Address of a byte of the area.
    pub fn area(&self, page: u8, offset: u16) -> u64 {
        (AREA_HVA + usize::from(page) * PAGE_SIZE + usize::from(offset)) as u64
    }

    /// Copies into the RAM.
    pub fn write_ram(&mut self, gpa: u64, bytes: &[u8]) {
        let start = usize::try_from(gpa).unwrap_or(usize::MAX);
        assert!(start <= RAM_SIZE && bytes.len() <= RAM_SIZE - start);
        // SAFETY: lies within the RAM, which is always mapped, and which no reference
        // points into.
        unsafe {
            ptr::copy_nonoverlapping(bytes.as_ptr(), at(RAM_HVA + start).cast(), bytes.len())
        };
    }

    /// Reads an aligned word of the RAM.
    pub fn ram_word(&self, gpa: u64) -> u64 {
        let start = usize::try_from(gpa).unwrap_or(usize::MAX);
        assert!(start < RAM_SIZE && start % 8 == 0);
        // SAFETY: as above; no vCPU runs, and were one to, the value were any other.
        unsafe { at(RAM_HVA + start).cast::<u64>().read_volatile() }
    }

    /// Writes a word of the area, if its page can be written. It may not cross pages.
    pub fn poke(&mut self, page: u8, offset: u16, value: u64) {
        let (page, offset) = (usize::from(page), usize::from(offset));
        assert!(page < AREA_PAGES && offset <= PAGE_SIZE - 8);
        if self.pages[page] == Access::Write {
            let address = AREA_HVA + page * PAGE_SIZE + offset;
            // SAFETY: lies within a page of the area that is mapped for writing, and which
            // no reference points into.
            unsafe { at(address).cast::<u64>().write_unaligned(value) };
        }
    }

    /// The bytes of a page of the area, unless there is none. It can be written after.
    pub fn page(&mut self, page: u8) -> Option<Vec<u8>> {
        if matches!(self.pages[usize::from(page)], Access::None | Access::Read) {
            self.change(page, Page::Permit);
        }
        if self.pages[usize::from(page)] != Access::Write {
            return None;
        }
        let mut bytes = vec![0; PAGE_SIZE];
        let address = AREA_HVA + usize::from(page) * PAGE_SIZE;
        // SAFETY: the page is mapped for reading, and no reference points into it.
        unsafe { ptr::copy_nonoverlapping(at(address).cast(), bytes.as_mut_ptr(), PAGE_SIZE) };
        Some(bytes)
    }

    /// Changes a page of the area. What makes no sense is not done.
    pub fn change(&mut self, page: u8, how: Page) {
        let access = &mut self.pages[usize::from(page)];
        let start = at(AREA_HVA + usize::from(page) * PAGE_SIZE);
        let protect = |protection| {
            // SAFETY: the page is this module's, which knows its protection.
            unsafe { libc::mprotect(start, PAGE_SIZE, protection) }
        };
        let (result, becomes) = match (how, *access) {
            (Page::Map, _) => {
                let flags = libc::MAP_PRIVATE | libc::MAP_FIXED | libc::MAP_ANONYMOUS;
                let mapped = map(start.addr(), PAGE_SIZE, -1, flags);
                (if mapped.is_ok() { 0 } else { -1 }, Access::Write)
            }
            (_, Access::Hole) => (0, Access::Hole),
            (Page::Unmap, _) => {
                // SAFETY: the page is this module's, which knows that it is away.
                (unsafe { libc::munmap(start, PAGE_SIZE) }, Access::Hole)
            }
            (Page::Forbid, _) => (protect(libc::PROT_NONE), Access::None),
            (Page::WriteProtect, _) => (protect(libc::PROT_READ), Access::Read),
            (Page::Permit, _) => (protect(libc::PROT_READ | libc::PROT_WRITE), Access::Write),
            (Page::Discard, access) => {
                // SAFETY: the page is this module's, and may change at any time.
                let result = unsafe { libc::madvise(start, PAGE_SIZE, libc::MADV_DONTNEED) };
                (result, access)
            }
        };
        assert_eq!(result, 0, "{how:?} of page {page}: {}", Errno::last());
        *access = becomes;
    }
}
