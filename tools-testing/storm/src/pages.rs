// SPDX-License-Identifier: GPL-2.0
//! The pages of shared_info, vcpu_info and runstates, and what a VMM's kernel does
//! to them: it takes them away and gives them back, with what is in them.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::ptr;

use harness::abi::layout::VCPU_INFO_SIZE;
use harness::abi::PAGE_SIZE;
use harness::outcome::Outcome;
use harness::vm::Vm;
use nix::errno::Errno;
use nix::sys::memfd::{memfd_create, MFdFlags};
use vm_memory::{Bytes, FileOffset, MmapRegion, VolatileMemory, VolatileSlice};

use crate::book::VCPUS;

const SLOT: u32 = 2;
const GPA: u64 = 0x1800_0000;
const VCPU_INFO_OFFSET: usize = 0x340;
const RUNSTATES: usize = 1 + VCPUS;
/// How many pages there are.
pub const PAGES: usize = RUNSTATES + 2 * VCPUS;
const SIZE: usize = PAGES * PAGE_SIZE;

/// The pages. Those of a file are shared: what takes them away leaves their
/// content in the file. Private ones are the file's until they are written to.
pub struct Pages {
    region: MmapRegion,
    file: File,
    flags: i32,
}

impl Pages {
    /// Maps them, shared or private.
    pub fn new(private: bool) -> Outcome<Self> {
        let file = File::from(memfd_create(c"xen", MFdFlags::MFD_CLOEXEC)?);
        file.set_len(SIZE as u64)?;
        let flags = if private {
            libc::MAP_PRIVATE
        } else {
            libc::MAP_SHARED
        };
        let mapped = FileOffset::new(file.try_clone()?, 0);
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let region = MmapRegion::build(Some(mapped), SIZE, protection, flags)?;
        Ok(Self {
            region,
            file,
            flags,
        })
    }

    /// Gives them to a guest; or, once they are there, changes their slot's flags.
    pub fn attach(&self, vm: &Vm, flags: u32) -> Outcome {
        vm.set_slot(SLOT, GPA, &self.region, flags)
    }

    /// Guest address of shared_info.
    pub fn shared_info() -> u64 {
        GPA
    }

    /// Guest address of a vCPU's vcpu_info.
    pub fn vcpu_info(vcpu: usize) -> u64 {
        GPA + ((1 + vcpu) * PAGE_SIZE + VCPU_INFO_OFFSET) as u64
    }

    /// Where a vCPU's runstate is in these pages: every other one lies across two.
    fn runstate_offset(vcpu: usize) -> usize {
        let within = if vcpu % 2 == 0 { 0x80 } else { PAGE_SIZE - 20 };
        (RUNSTATES + 2 * vcpu) * PAGE_SIZE + within
    }

    /// Guest address of a vCPU's runstate.
    pub fn runstate(vcpu: usize) -> u64 {
        GPA + Self::runstate_offset(vcpu) as u64
    }

    /// The bytes of a vCPU's runstate.
    pub fn runstate_bytes(&self, vcpu: usize, length: usize) -> Outcome<Vec<u8>> {
        let mut bytes = vec![0; length];
        let all = self.region.as_volatile_slice();
        all.read_slice(&mut bytes, Self::runstate_offset(vcpu))?;
        Ok(bytes)
    }

    /// The page of shared_info.
    pub fn shared_info_page(&self) -> VolatileSlice<'_> {
        self.region.get_slice(0, PAGE_SIZE).expect("is a page")
    }

    /// A vCPU's vcpu_info.
    pub fn vcpu_info_slice(&self, vcpu: usize) -> VolatileSlice<'_> {
        let offset = (1 + vcpu) * PAGE_SIZE + VCPU_INFO_OFFSET;
        let slice = self.region.get_slice(offset, VCPU_INFO_SIZE);
        slice.expect("lies within the pages")
    }

    fn address(&self, page: usize) -> *mut libc::c_void {
        assert!(page < PAGES);
        self.region.as_ptr().wrapping_add(page * PAGE_SIZE).cast()
    }

    /// Drops the pages from the address space: the next access finds them again.
    pub fn drop_from_memory(&self, page: usize, count: usize) -> Outcome {
        assert!(page + count <= PAGES);
        let bytes = count * PAGE_SIZE;
        // SAFETY: the pages are those of our mapping, which is accessed as memory
        // that others change.
        let result = unsafe { libc::madvise(self.address(page), bytes, libc::MADV_DONTNEED) };
        Errno::result(result)?;
        Ok(())
    }

    /// Maps a page anew, over itself.
    pub fn map_again(&self, page: usize) -> Outcome {
        let flags = self.flags | libc::MAP_FIXED;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let offset = (page * PAGE_SIZE) as libc::off_t;
        // SAFETY: replaces a page of our mapping by the same page of the same file.
        let result = unsafe {
            libc::mmap(
                self.address(page),
                PAGE_SIZE,
                protection,
                flags,
                self.file.as_raw_fd(),
                offset,
            )
        };
        if result == libc::MAP_FAILED {
            return Err(Errno::last().into());
        }
        Ok(())
    }

    /// Moves a page to another address. The old one stays, and finds the page again.
    pub fn move_away(&self, page: usize) -> Outcome {
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_DONTUNMAP;
        // SAFETY: our mapping stays where it is; only the page tables go elsewhere.
        // The kernel looks for a place from the last argument on.
        let moved = unsafe {
            let from = self.address(page);
            libc::mremap(from, PAGE_SIZE, PAGE_SIZE, flags, ptr::null_mut::<u8>())
        };
        if moved == libc::MAP_FAILED {
            return Err(Errno::last().into());
        }
        // SAFETY: the new mapping is nobody's but ours.
        Errno::result(unsafe { libc::munmap(moved, PAGE_SIZE) })?;
        Ok(())
    }

    /// Puts what is in private pages into the file, and drops them: they are the
    /// file's again, and whoever writes first gets a copy. Nobody may write now.
    pub fn uncopy(&self) -> Outcome {
        let mut bytes = vec![0; SIZE];
        self.region.as_volatile_slice().read_slice(&mut bytes, 0)?;
        self.file.write_all_at(&bytes, 0)?;
        self.drop_from_memory(0, PAGES)
    }

    /// Reads a byte of a page, which maps it for reading only.
    pub fn touch(&self, page: usize) {
        // SAFETY: the byte is within our mapping.
        unsafe { ptr::read_volatile(self.address(page).cast::<u8>()) };
    }
}
