// SPDX-License-Identifier: GPL-2.0
//! Guest memory: RAM for the guest's code, and the pages that Xen structures
//! live in, which cases move and unmap.

use std::ptr;

use vm_memory::{Bytes, MmapRegion, VolatileMemory, VolatileSlice};

use super::outcome::Outcome;
use super::vm::Vm;
use crate::abi::PAGE_SIZE;

/// Slot of the RAM at guest address 0.
pub const RAM_SLOT: u32 = 0;
/// Its size.
pub const RAM_SIZE: usize = 0x4_0000;

/// Slot of the area for Xen's structures.
pub const AREA_SLOT: u32 = 1;
/// A second slot, that cases add elsewhere.
pub const OTHER_SLOT: u32 = 2;
/// Where that is.
pub const OTHER_GPA: u64 = 0x2000_0000;
/// Guest address of the area's first page.
pub const AREA_GPA: u64 = 0x1000_0000;
/// Pages of the area.
pub const AREA_PAGES: usize = 16;

/// What the area is filled with, so that stray writes of zeros show too.
const BACKGROUND: u8 = 0xa5;

/// A guest address where there is no memory.
pub const NO_MEMORY_GPA: u64 = 0x4000_0000;

/// RAM for code, tables and stacks of the guest.
pub struct Ram(MmapRegion);

impl Ram {
    /// Maps it and gives it to `vm`.
    pub fn new(vm: &Vm) -> Outcome<Self> {
        let ram = Self::unattached()?;
        vm.set_slot(RAM_SLOT, 0, &ram.0, 0)?;
        Ok(ram)
    }

    /// Maps it.
    pub fn unattached() -> Outcome<Self> {
        Ok(Self(MmapRegion::new(RAM_SIZE)?))
    }

    /// Writes `bytes` at guest address `gpa`.
    pub fn write(&self, gpa: u64, bytes: &[u8]) -> Outcome {
        Ok(self
            .0
            .as_volatile_slice()
            .write_slice(bytes, gpa as usize)?)
    }

    /// Reads `length` bytes at guest address `gpa`.
    pub fn read(&self, gpa: u64, length: usize) -> Outcome<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.0
            .as_volatile_slice()
            .read_slice(&mut bytes, gpa as usize)?;
        Ok(bytes)
    }
}

/// The pages for shared_info, vcpu_info and their like.
pub struct Area(MmapRegion);

impl Area {
    /// Maps it, fills it and gives it to `vm`.
    pub fn new(vm: &Vm) -> Outcome<Self> {
        let area = Self::unattached()?;
        area.attach(vm)?;
        Ok(area)
    }

    /// Maps and fills it.
    pub fn unattached() -> Outcome<Self> {
        let area = Self(MmapRegion::new(AREA_PAGES * PAGE_SIZE)?);
        let all = vec![BACKGROUND; AREA_PAGES * PAGE_SIZE];
        area.0.as_volatile_slice().write_slice(&all, 0)?;
        Ok(area)
    }

    /// Makes it the guest's memory at [`AREA_GPA`], where none may be now.
    pub fn attach(&self, vm: &Vm) -> Outcome {
        vm.set_slot(AREA_SLOT, AREA_GPA, &self.0, 0)
    }

    /// Has KVM log which of its pages are written to.
    pub fn log_dirty(&self, vm: &Vm) -> Outcome {
        let flags = kvm_bindings::KVM_MEM_LOG_DIRTY_PAGES;
        vm.set_slot(AREA_SLOT, AREA_GPA, &self.0, flags)
    }

    /// The pages that were written to since this was last asked.
    pub fn take_dirty(vm: &Vm) -> Outcome<Vec<usize>> {
        let log = vm.fd.get_dirty_log(AREA_SLOT, AREA_PAGES * PAGE_SIZE)?;
        let dirty = |page: &usize| log[page / 64] & (1 << (page % 64)) != 0;
        Ok((0..AREA_PAGES).filter(dirty).collect())
    }

    /// As [`Area::attach`], but guest and KVM may only read it.
    pub fn attach_readonly(&self, vm: &Vm) -> Outcome {
        vm.set_slot(AREA_SLOT, AREA_GPA, &self.0, kvm_bindings::KVM_MEM_READONLY)
    }

    /// Makes it further memory of the guest, away from [`AREA_GPA`].
    pub fn attach_elsewhere(&self, vm: &Vm) -> Outcome {
        vm.set_slot(OTHER_SLOT, OTHER_GPA, &self.0, 0)
    }

    /// Makes it memory of the guest anywhere, or moves the slot that it has.
    pub fn put(&self, vm: &Vm, slot: u32, gpa: u64, flags: u32) -> Outcome {
        vm.set_slot(slot, gpa, &self.0, flags)
    }

    /// Takes the memory at [`AREA_GPA`] from the guest.
    pub fn detach(vm: &Vm) -> Outcome {
        vm.delete_slot(AREA_SLOT)
    }

    /// Guest frame number of a page.
    pub fn gfn(page: usize) -> u64 {
        AREA_GPA / PAGE_SIZE as u64 + page as u64
    }

    /// Guest address of a byte in a page.
    pub fn gpa(page: usize, offset: usize) -> u64 {
        AREA_GPA + (page * PAGE_SIZE + offset) as u64
    }

    /// Address of a byte in a page in this process.
    pub fn hva(&self, page: usize, offset: usize) -> u64 {
        assert!(page < AREA_PAGES && offset < PAGE_SIZE);
        self.0.as_ptr() as u64 + (page * PAGE_SIZE + offset) as u64
    }

    /// Zeroes all of it.
    pub fn clear(&self) -> Outcome {
        let zeros = vec![0; AREA_PAGES * PAGE_SIZE];
        Ok(self.0.as_volatile_slice().write_slice(&zeros, 0)?)
    }

    /// A page.
    pub fn page(&self, page: usize) -> VolatileSlice<'_> {
        self.slice(page, 0, PAGE_SIZE)
    }

    /// A part of the area.
    pub fn slice(&self, page: usize, offset: usize, length: usize) -> VolatileSlice<'_> {
        self.0
            .get_slice(page * PAGE_SIZE + offset, length)
            .expect("lies within the area")
    }

    /// All bytes of the area.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; AREA_PAGES * PAGE_SIZE];
        self.0
            .as_volatile_slice()
            .read_slice(&mut bytes, 0)
            .expect("has the area's size");
        bytes
    }

    /// Drops a page's memory: the next access finds a new page of zeros.
    pub fn discard(&self, page: usize) -> Outcome {
        let start = ptr::with_exposed_provenance_mut(self.hva(page, 0) as usize);
        // SAFETY: the page belongs to this mapping, which is only ever read and
        // written as volatile memory that may change at any time.
        let result = unsafe { libc::madvise(start, PAGE_SIZE, libc::MADV_DONTNEED) };
        nix::errno::Errno::result(result)?;
        Ok(())
    }

    /// Takes all access to a page's address; KVM then can't map it either.
    pub fn forbid(&self, page: usize) -> Outcome {
        self.protect(page, libc::PROT_NONE)
    }

    /// Unmaps a page.
    pub fn unmap(&self, page: usize) -> Outcome {
        let start = ptr::with_exposed_provenance_mut(self.hva(page, 0) as usize);
        // SAFETY: the page belongs to this mapping. A case that touches it while unmapped
        // dies of it, which fails the case and nothing else.
        let result = unsafe { libc::munmap(start, PAGE_SIZE) };
        nix::errno::Errno::result(result)?;
        Ok(())
    }

    /// Maps a new page of zeros in the place of one.
    pub fn map(&self, page: usize) -> Outcome {
        let start = ptr::with_exposed_provenance_mut(self.hva(page, 0) as usize);
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        // SAFETY: the address belongs to this mapping, which is only ever read and written
        // as volatile memory that may change at any time.
        let mapped = unsafe { libc::mmap(start, PAGE_SIZE, protection, flags, -1, 0) };
        if mapped == libc::MAP_FAILED {
            return Err(nix::errno::Errno::last().into());
        }
        Ok(())
    }

    /// Undoes [`Area::forbid`]; the page's content has stayed.
    pub fn permit(&self, page: usize) -> Outcome {
        self.protect(page, libc::PROT_READ | libc::PROT_WRITE)
    }

    fn protect(&self, page: usize, protection: i32) -> Outcome {
        let start = ptr::with_exposed_provenance_mut(self.hva(page, 0) as usize);
        // SAFETY: the page belongs to this mapping. A case that touches it while
        // forbidden dies of it, which fails the case and nothing else.
        let result = unsafe { libc::mprotect(start, PAGE_SIZE, protection) };
        nix::errno::Errno::result(result)?;
        Ok(())
    }
}
