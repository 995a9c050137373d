// SPDX-License-Identifier: GPL-2.0

//! `gpc->lock` and `gpc->refresh_lock`: one function for all structures, as this is most of what
//! a delivery does.

use crate::{bindings, livepatch::symbols};
use core::ptr::NonNull;
use kernel::{error::to_result, ffi::c_ulong, page::PAGE_SHIFT, prelude::*};

/// A pfn cache, as C has it.
pub(super) type Raw = NonNull<bindings::gfn_to_pfn_cache>;

/// The address of `len` bytes that a cache maps, with its lock held for reading and the interrupt
/// state from before in `flags`; null, and nothing held, if it is not valid for them, or is being
/// changed just now.
///
/// # Safety
///
/// `gpc` is initialized, and the task in a read section of the `kvm->srcu` of its VM.
#[inline(never)]
pub(super) unsafe fn try_lock(gpc: Raw, len: usize, flags: &mut c_ulong) -> *mut u8 {
    let gpc = gpc.as_ptr();
    // SAFETY: The lock is initialized with the cache. One that is only tried has no place in the
    // lock order to keep to.
    unsafe {
        if !bindings::kvm_xen_rs_read_trylock_irqsave(&raw mut (*gpc).lock, flags) {
            return core::ptr::null_mut();
        }
    }
    // SAFETY: The lock is held, and the rest is the caller's.
    unsafe {
        let base = base(gpc, len);
        if base.is_null() {
            bindings::kvm_xen_rs_read_unlock_irqrestore(&raw mut (*gpc).lock, *flags);
        }
        base
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
            core::ptr::null_mut()
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
    // SAFETY: The field is a byte, read in one piece; the rest is the caller's.
    unsafe {
        // KVM warns, and a host that panics on warnings is lost, when asked to refresh a cache
        // that has never been active: a VMM need only send an event before it maps a page.
        if !(&raw const (*gpc.as_ptr()).active).read_volatile() {
            return Err(EINVAL);
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
    flags: &mut c_ulong,
) -> Result<NonNull<u8>> {
    // SAFETY: By the safety requirement.
    unsafe {
        loop {
            if let Some(base) = NonNull::new(try_lock(gpc, len, flags)) {
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
