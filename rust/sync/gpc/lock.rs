// SPDX-License-Identifier: GPL-2.0

//! `gpc->lock` and `gpc->refresh_lock`.

use super::{
    rwlock::{self, Flags},
    Gpa,
};
use crate::{
    bindings,
    livepatch::symbols,
    sync::{current::is_in, order::Id, Held, MayRefresh},
};
use core::ptr::NonNull;
use kernel::{
    error::to_result,
    ffi::c_ulong,
    page::{PAGE_SHIFT, PAGE_SIZE},
    prelude::*,
};

/// A pfn cache, as C has it.
pub(super) type Raw = NonNull<bindings::gfn_to_pfn_cache>;

/// What there is to undo when the lock is released.
#[derive(Clone, Copy)]
pub(super) struct Saved {
    flags: Flags,
    /// Whether the address space was kept from going.
    kept: bool,
}

/// The address of what a cache maps, of `len` bytes where that is not known to fit, with its lock
/// held for reading; nothing, and nothing held, if it is not valid, or is being changed.
///
/// When the VMM's address space goes, no one tells the cache that its page is gone: KVM's notifier
/// does not, and `exit_mmap()` calls it no more after that. The VM may stay, as long as somebody has
/// its file, and so may its timers and irqfds. So a task of another process, or an interrupt, keeps
/// the address space for as long as it uses the page. Nor is a cache told anything once its VM is
/// being destroyed: KVM takes its notifier off first, and vCPUs with their timers later.
///
/// # Safety
///
/// `gpc` is initialized, and the invariant of [`Ctx`](crate::sync::Ctx) holds of `H`, where the
/// task may try locks. `len` may be left out where each activation of the cache is for the same structure. Who writes to the page is
/// in a read section of the `kvm->srcu` of its VM: a change of the memslots waits for that.
#[inline(always)]
pub(super) unsafe fn try_lock<H: Held>(
    gpc: Raw,
    len: Option<usize>,
) -> Option<(NonNull<u8>, Saved)> {
    let gpc = gpc.as_ptr();
    // SAFETY: The lock is initialized with the cache. One that is only tried has no place in the
    // lock order to keep to. Where another cache is locked, interrupts are off.
    let flags = unsafe {
        let lock = &raw mut (*gpc).lock;
        if has::<H>(Id::GpcLock) {
            rwlock::try_read::<true>(lock)?
        } else {
            rwlock::try_read::<false>(lock)?
        }
    };
    // SAFETY: The lock is held, and the rest is the caller's.
    unsafe {
        if let Some(base) = base(gpc, len) {
            // Another cache of the VM that is locked was found so, and keeps the address space.
            if has::<H>(Id::GpcLock) {
                return Some((base, Saved { flags, kept: false }));
            }
            if has_notifier(gpc) {
                // A task in the VM's address space stays in it.
                if has::<H>(Id::VmMm) {
                    return Some((base, Saved { flags, kept: false }));
                }
                // The VM has a reference to the structure of its address space.
                let mm = (*(*gpc).kvm).mm;
                if is_in(mm) {
                    return Some((base, Saved { flags, kept: false }));
                }
                if bindings::kvm_xen_rs_mm_get(mm) {
                    return Some((base, Saved { flags, kept: true }));
                }
            }
        }
        rwlock::unlock(&raw mut (*gpc).lock, flags);
    }
    None
}

/// Whether `H` has a level.
const fn has<H: Held>(level: Id) -> bool {
    H::LEVELS & (1 << level as u32) != 0
}

/// Whether KVM tells the cache what becomes of its page: not when nobody has the VM any more.
///
/// # Safety
///
/// `gpc` is initialized.
#[inline(always)]
unsafe fn has_notifier(gpc: *mut bindings::gfn_to_pfn_cache) -> bool {
    // SAFETY: The VM is there as long as its caches; the counter is read in one piece.
    unsafe {
        let users = &raw const (*(*gpc).kvm).users_count.refs.counter;
        users.read_volatile() != 0
    }
}

/// Takes the lock for reading. Spins.
///
/// # Safety
///
/// `gpc` is initialized, and the context may wait for its lock.
#[inline(always)]
pub(super) unsafe fn lock(gpc: Raw) -> Saved {
    // SAFETY: By the safety requirement.
    let flags = unsafe { rwlock::read(&raw mut (*gpc.as_ptr()).lock) };
    Saved { flags, kept: false }
}

/// Releases what [`try_lock`] or [`lock`] has taken.
///
/// # Safety
///
/// `gpc` is initialized, and locked for reading with `saved`.
#[inline(always)]
pub(super) unsafe fn unlock(gpc: Raw, saved: Saved) {
    // SAFETY: By the safety requirement.
    unsafe {
        rwlock::unlock(&raw mut (*gpc.as_ptr()).lock, saved.flags);
        if saved.kept {
            // Elsewhere, if it is the last one: this may be an interrupt.
            bindings::mmput_async((*(*gpc.as_ptr()).kvm).mm);
        }
    }
}

/// The address of what a cache maps, of `len` bytes where that is not known to fit; none if it is
/// not valid.
///
/// This is `kvm_gpc_check()` without what follows from the rest: a cache that is `valid` is active,
/// and its page was found at an address that is one. Both change with the lock held for writing,
/// and `valid` with them.
///
/// # Safety
///
/// As for [`try_lock`], and the lock is held.
#[inline(always)]
pub(super) unsafe fn base(
    gpc: *mut bindings::gfn_to_pfn_cache,
    len: Option<usize>,
) -> Option<NonNull<u8>> {
    // SAFETY: The lock is held, so that the fields do not change. The sets of memslots are parts of
    // the VM, of which the one or the other is in use.
    unsafe {
        if !(*gpc).valid {
            return None;
        }
        // A page that was found by its guest-physical address may be another since.
        let by_gpa = (*gpc).gpa != Gpa::MAX;
        if by_gpa {
            let slots = (&raw const (*(*gpc).kvm).memslots).cast::<*const bindings::kvm_memslots>();
            if (*slots.read_volatile()).generation != (*gpc).generation {
                return None;
            }
        }
        if let Some(len) = len {
            let at = if by_gpa {
                (*gpc).gpa
            } else {
                (*gpc).uhva as Gpa
            };
            if (at % PAGE_SIZE as u64).wrapping_add(len as u64) > PAGE_SIZE as u64 {
                return None;
            }
        }
        NonNull::new((*gpc).khva.cast())
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
        if !has_notifier(gpc.as_ptr()) {
            return Err(EFAULT);
        }
        // Whoever was only in the way of another takes the lock for reading here. As a writer it
        // would be in the way of the next.
        let saved = lock(gpc);
        let is_valid = base(gpc.as_ptr(), Some(len)).is_some();
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
pub(super) unsafe fn lock_refreshed(gpc: Raw, len: usize) -> Result<(NonNull<u8>, Saved)> {
    // SAFETY: By the safety requirement.
    unsafe {
        loop {
            if let Some(locked) = try_lock::<MayRefresh>(gpc, Some(len)) {
                return Ok(locked);
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
