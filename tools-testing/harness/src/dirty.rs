// SPDX-License-Identifier: GPL-2.0
//! How KVM tells a VMM which pages were written to, but for the log that is cleared when it is read
//! ([`Area::take_dirty`](super::memory::Area::take_dirty)).

use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use kvm_bindings::{
    kvm_clear_dirty_log, kvm_clear_dirty_log__bindgen_ty_1, kvm_dirty_gfn, kvm_enable_cap,
    KVM_CAP_DIRTY_LOG_RING, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE,
    KVM_DIRTY_LOG_PAGE_OFFSET,
};
use nix::errno::Errno;

use super::memory::{AREA_PAGES, AREA_SLOT};
use super::outcome::Outcome;
use super::vcpu::Vcpu;
use super::vm::Vm;
use crate::abi::PAGE_SIZE;

nix::ioctl_readwrite!(clear_dirty_log, 0xae, 0xc0, kvm_clear_dirty_log);
nix::ioctl_none!(reset_dirty_rings, 0xae, 0xc7);

/// Entries of a ring: more than what KVM keeps back of one for processors that log by themselves.
const ENTRIES: usize = 1024;
const BYTES: usize = ENTRIES * size_of::<kvm_dirty_gfn>();

/// Flags of an entry.
const DIRTY: u32 = 1;
const RESET: u32 = 2;

impl Vm {
    /// Has the log stay as it is when it is read.
    pub fn clear_dirty_log_by_hand(&self) -> Outcome {
        let how = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;
        self.enable(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, how.into())
    }

    /// Clears the area's pages in the log.
    pub fn clear_dirty_log(&self) -> Outcome {
        let mut pages = u64::MAX;
        let mut log = kvm_clear_dirty_log {
            slot: AREA_SLOT,
            num_pages: AREA_PAGES as u32,
            first_page: 0,
            __bindgen_anon_1: kvm_clear_dirty_log__bindgen_ty_1 {
                dirty_bitmap: (&raw mut pages).cast(),
            },
        };
        // SAFETY: the bitmap has a bit for each page.
        unsafe { clear_dirty_log(self.fd.as_raw_fd(), &mut log) }?;
        Ok(())
    }

    /// Gives each vCPU that is made from now on a ring, in place of the log.
    pub fn use_dirty_rings(&self) -> Outcome {
        self.enable(KVM_CAP_DIRTY_LOG_RING, BYTES as u64)
    }

    /// Has KVM use the entries again that were taken; returns how many.
    pub fn reset_dirty_rings(&self) -> Outcome<usize> {
        // SAFETY: the call has no argument.
        let entries = unsafe { reset_dirty_rings(self.fd.as_raw_fd()) }?;
        Ok(entries as usize)
    }

    fn enable(&self, cap: u32, argument: u64) -> Outcome {
        self.fd.enable_cap(&kvm_enable_cap {
            cap,
            args: [argument, 0, 0, 0],
            ..Default::default()
        })?;
        Ok(())
    }
}

/// The ring of a vCPU.
pub struct Ring {
    entries: *mut kvm_dirty_gfn,
    next: usize,
}

impl Ring {
    /// Maps it, until the process ends.
    pub fn of(vcpu: &Vcpu) -> Outcome<Self> {
        let offset = KVM_DIRTY_LOG_PAGE_OFFSET as usize * PAGE_SIZE;
        // SAFETY: maps what the vCPU's file has there at an address of the kernel's choice.
        let entries = unsafe {
            libc::mmap(
                ptr::null_mut(),
                BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                vcpu.fd.as_raw_fd(),
                offset as libc::off_t,
            )
        };
        if entries == libc::MAP_FAILED {
            return Err(Errno::last().into());
        }
        Ok(Self {
            entries: entries.cast(),
            next: 0,
        })
    }

    /// Takes what was written to since this was last asked: slots, and pages of them, in order.
    pub fn take(&mut self) -> Vec<(u32, usize)> {
        let mut pages = Vec::new();
        loop {
            let entry = self.entries.wrapping_add(self.next % ENTRIES);
            // SAFETY: within the mapping; the kernel and we change it by single accesses.
            let flags = unsafe { AtomicU32::from_ptr(&raw mut (*entry).flags) };
            if flags.load(Ordering::Acquire) & DIRTY == 0 {
                return pages;
            }
            // SAFETY: as above; the kernel leaves it alone until the entry is reset.
            let (slot, page) = unsafe { ((*entry).slot, (*entry).offset) };
            pages.push((slot, page as usize));
            flags.store(RESET, Ordering::Release);
            self.next += 1;
        }
    }
}
