// SPDX-License-Identifier: GPL-2.0

//! `gpc->lock` and `gpc->refresh_lock`: one function for all structures, as this is most of what
//! a delivery does.

use crate::{bindings, livepatch::symbols};
use core::ptr::{self, NonNull};
use kernel::{error::to_result, ffi::c_ulong, page::PAGE_SHIFT, prelude::*};

/// A pfn cache, as C has it.
pub(super) type Raw = NonNull<bindings::gfn_to_pfn_cache>;

/// The interrupt state from before the lock was taken, and whether the address space is kept from
/// going meanwhile: one word, as there are many of these.
#[derive(Clone, Copy)]
pub(super) struct Saved(c_ulong);

impl Saved {
    /// Nothing yet.
    pub(super) const NONE: Self = Self(0);

    /// No flag of the CPU's.
    const KEPT: c_ulong = 1 << 63;

    /// Where the interrupt state is put.
    pub(super) fn flags(&mut self) -> &mut c_ulong {
        &mut self.0
    }
}

/// The address of `len` bytes that a cache maps, with its lock held for reading; null, and nothing
/// held, if it is not valid for them, or is being changed just now.
///
/// When the VMM's address space goes, no one tells the cache that its page is gone: KVM's notifier
/// does not, and `exit_mmap()` calls it no more after that. The VM may stay, as long as somebody has
/// its file, and so may its timers and irqfds. So a task of another process, or an interrupt, keeps
/// the address space for as long as it uses the page. Nor is a cache told anything once its VM is
/// being destroyed: KVM takes its notifier off first, and vCPUs with their timers later.
///
/// # Safety
///
/// `gpc` is initialized, and the task in a read section of the `kvm->srcu` of its VM, where it may
/// try locks.
#[inline(never)]
pub(super) unsafe fn try_lock(gpc: Raw, len: usize, saved: &mut Saved) -> *mut u8 {
    let gpc = gpc.as_ptr();
    // SAFETY: The lock is initialized with the cache. One that is only tried has no place in the
    // lock order to keep to.
    unsafe {
        if !bindings::kvm_xen_rs_read_trylock_irqsave(&raw mut (*gpc).lock, saved.flags()) {
            return ptr::null_mut();
        }
    }
    // SAFETY: The lock is held, and the rest is the caller's. The VM has a reference to the
    // structure of its address space.
    unsafe {
        let base = base(gpc, len);
        if !base.is_null() && is_told(gpc) {
            match bindings::kvm_xen_rs_mm_keep((*(*gpc).kvm).mm) {
                0 => {}
                1 => return base,
                _ => {
                    saved.0 |= Saved::KEPT;
                    return base;
                }
            }
        }
        bindings::kvm_xen_rs_read_unlock_irqrestore(&raw mut (*gpc).lock, saved.0);
    }
    ptr::null_mut()
}

/// Whether KVM tells the cache what becomes of its page: not when nobody has the VM any more.
///
/// # Safety
///
/// `gpc` is initialized.
#[inline(always)]
unsafe fn is_told(gpc: *mut bindings::gfn_to_pfn_cache) -> bool {
    // SAFETY: The VM is there as long as its caches; the counter is read in one piece.
    unsafe {
        let users = &raw const (*(*gpc).kvm).users_count.refs.counter;
        users.read_volatile() != 0
    }
}

/// Releases what [`try_lock`] has taken, or who else has taken the lock for reading.
///
/// # Safety
///
/// `gpc` is initialized, and locked for reading with `saved`.
#[inline(never)]
pub(super) unsafe fn unlock(gpc: Raw, saved: Saved) {
    // SAFETY: By the safety requirement.
    unsafe {
        let gpc = gpc.as_ptr();
        let flags = saved.0 & !Saved::KEPT;
        bindings::kvm_xen_rs_read_unlock_irqrestore(&raw mut (*gpc).lock, flags);
        if saved.0 & Saved::KEPT != 0 {
            // Elsewhere, if it is the last one: this may be an interrupt.
            bindings::mmput_async((*(*gpc).kvm).mm);
        }
    }
}

/// The address of `len` bytes that a cache maps; null if it is not valid for them.
///
/// # Safety
///
/// As for [`try_lock`], and the lock is held.
#[inline(always)]
pub(super) unsafe fn base(gpc: *mut bindings::gfn_to_pfn_cache, len: usize) -> *mut u8 {
    // SAFETY: The lock is held, so that the fields do not change; the read section keeps the
    // memslots that the check looks at.
    unsafe {
        if symbols::kvm_gpc_check(gpc, len as c_ulong) {
            (*gpc).khva.cast()
        } else {
            ptr::null_mut()
        }
    }
}

/// Maps the page of a cache again after it has moved, for `len` bytes. May sleep.
///
/// # Safety
///
/// `gpc` is initialized, and the task in a read section of the `kvm->srcu` of its VM and in the
/// VM's address space. It may sleep and take the locks of the cache.
#[inline(never)]
pub(super) unsafe fn refresh(gpc: Raw, len: usize) -> Result {
    // SAFETY: The field is a byte, read in one piece; the rest is the caller's, who may wait for the
    // lock.
    unsafe {
        // KVM warns, and a host that panics on warnings is lost, when asked to refresh a cache
        // that has never been active: a VMM need only send an event before it maps a page.
        if !(&raw const (*gpc.as_ptr()).active).read_volatile() {
            return Err(EINVAL);
        }
        // Gone for good: to KVM the cache may be as valid as before.
        if !is_told(gpc.as_ptr()) {
            return Err(EFAULT);
        }
        // Whoever was only in the way of another takes the lock for reading here. As a writer it
        // would be in the way of the next.
        let mut saved = Saved::NONE;
        bindings::kvm_xen_rs_read_lock_irqsave(&raw mut (*gpc.as_ptr()).lock, saved.flags());
        let is_valid = !base(gpc.as_ptr(), len).is_null();
        unlock(gpc, saved);
        if is_valid {
            return Ok(());
        }
        to_result(symbols::kvm_gpc_refresh(gpc.as_ptr(), len as c_ulong))
    }
}

/// As [`try_lock`], refreshing the cache until it is valid. May sleep.
///
/// # Safety
///
/// As for [`refresh`].
#[inline(never)]
pub(super) unsafe fn lock_refreshed(
    gpc: Raw,
    len: usize,
    saved: &mut Saved,
) -> Result<NonNull<u8>> {
    // SAFETY: By the safety requirement.
    unsafe {
        loop {
            if let Some(base) = NonNull::new(try_lock(gpc, len, saved)) {
                return Ok(base);
            }
            // Waits for whoever changes the cache, too.
            refresh(gpc, len)?;
        }
    }
}

/// Notes that the page of a cache has been written to.
///
/// # Safety
///
/// `gpc` is valid and locked, and the task in a read section of the `kvm->srcu` of its VM.
#[inline(never)]
pub(super) unsafe fn mark_dirty(gpc: Raw) {
    let gpc = gpc.as_ptr();
    // SAFETY: The lock is held, so that the fields do not change; the memslot, if there is one, is
    // that of the read section.
    unsafe {
        if !(*gpc).memslot.is_null() {
            symbols::mark_page_dirty_in_slot((*gpc).kvm, (*gpc).memslot, (*gpc).gpa >> PAGE_SHIFT);
        }
    }
}
