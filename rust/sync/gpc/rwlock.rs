// SPDX-License-Identifier: GPL-2.0

//! `rwlock_t`, held for reading with interrupts off.
//!
//! It is held for as long as it takes to set a few bits, so that to call C's functions for it would
//! be most of what it costs. What they do is done here, but for the count of preemption: with
//! interrupts off there is none. Where the kernel keeps an account of its locks, or they sleep, it
//! is left to C.
//!
//! C header: `include/asm-generic/qrwlock.h`.

use crate::bindings;

pub(super) use crate::sync::interrupts::Flags;

#[cfg(locks_by_c)]
mod imp {
    use super::{bindings, Flags};

    pub(in super::super) const INTERRUPTS_OFF: bool = false;

    /// See [`super::may_have_readers`].
    ///
    /// # Safety
    ///
    /// As there.
    #[inline(always)]
    pub(in super::super) unsafe fn may_have_readers(_lock: *mut bindings::rwlock_t) -> bool {
        true
    }

    /// See [`super::try_read`].
    ///
    /// # Safety
    ///
    /// As there.
    #[inline(always)]
    pub(in super::super) unsafe fn try_read<const OFF: bool>(
        lock: *mut bindings::rwlock_t,
    ) -> Option<Flags> {
        let mut flags = 0;
        // SAFETY: By the safety requirement.
        unsafe { bindings::kvm_xen_rs_read_trylock_irqsave(lock, &mut flags) }
            .then_some(Flags(flags))
    }

    /// See [`super::read`].
    ///
    /// # Safety
    ///
    /// As there.
    #[inline(always)]
    pub(in super::super) unsafe fn read(lock: *mut bindings::rwlock_t) -> Flags {
        let mut flags = 0;
        // SAFETY: By the safety requirement.
        unsafe { bindings::kvm_xen_rs_read_lock_irqsave(lock, &mut flags) };
        Flags(flags)
    }

    /// See [`super::unlock`].
    ///
    /// # Safety
    ///
    /// As there.
    #[inline(always)]
    pub(in super::super) unsafe fn unlock(lock: *mut bindings::rwlock_t, Flags(flags): Flags) {
        // SAFETY: By the safety requirement.
        unsafe { bindings::kvm_xen_rs_read_unlock_irqrestore(lock, flags) }
    }
}

#[cfg(not(locks_by_c))]
mod imp {
    use super::{bindings, Flags};
    use crate::sync::interrupts::{restore, save};
    use core::{arch::asm, hint};

    /// How often a lock that is held for writing is looked at before it is given up.
    const LOOKS: u32 = 200;

    pub(in super::super) const INTERRUPTS_OFF: bool = true;

    /// The word of the lock: the number of readers, and below it what there is of writers.
    #[inline(always)]
    fn word(lock: *mut bindings::rwlock_t) -> *mut u32 {
        // SAFETY: Only the address of the field is taken.
        unsafe { (&raw mut (*lock).raw_lock.__bindgen_anon_1.cnts).cast() }
    }

    /// Adds to the word, and returns what it was. Fully ordered.
    ///
    /// # Safety
    ///
    /// The lock is initialized.
    #[inline(always)]
    unsafe fn add(lock: *mut bindings::rwlock_t, mut value: u32) -> u32 {
        // SAFETY: By the safety requirement the word is there, and is changed by atomic operations.
        unsafe {
            asm!(
                "lock xadd dword ptr [{word}], {value:e}",
                word = in(reg) word(lock),
                value = inout(reg) value,
                options(nostack),
            )
        };
        value
    }

    /// See [`super::may_have_readers`].
    ///
    /// # Safety
    ///
    /// As there.
    #[inline(always)]
    pub(in super::super) unsafe fn may_have_readers(lock: *mut bindings::rwlock_t) -> bool {
        // Readers change the same word before they look at anything.
        // SAFETY: By the safety requirement.
        unsafe { add(lock, 0) >= bindings::_QR_BIAS }
    }

    /// See [`super::try_read`].
    ///
    /// # Safety
    ///
    /// As there.
    #[inline(always)]
    pub(in super::super) unsafe fn try_read<const OFF: bool>(
        lock: *mut bindings::rwlock_t,
    ) -> Option<Flags> {
        let flags = if OFF { Flags(0) } else { save() };
        // SAFETY: By the safety requirement.
        unsafe {
            if add(lock, bindings::_QR_BIAS) & bindings::_QW_WMASK == 0 || try_again(lock) {
                return Some(flags);
            }
        }
        restore(flags);
        None
    }

    /// After a first attempt that met a writer, and is still counted as a reader. Writers are short:
    /// to come back later costs more than to look again.
    ///
    /// # Safety
    ///
    /// As for [`super::try_read`].
    #[cold]
    #[inline(never)]
    unsafe fn try_again(lock: *mut bindings::rwlock_t) -> bool {
        // SAFETY: By the safety requirement.
        unsafe {
            add(lock, bindings::_QR_BIAS.wrapping_neg());
            for _ in 0..LOOKS {
                hint::spin_loop();
                if word(lock).read_volatile() & bindings::_QW_WMASK == 0 {
                    if add(lock, bindings::_QR_BIAS) & bindings::_QW_WMASK == 0 {
                        return true;
                    }
                    add(lock, bindings::_QR_BIAS.wrapping_neg());
                }
            }
        }
        false
    }

    /// See [`super::read`].
    ///
    /// # Safety
    ///
    /// As there.
    #[inline(always)]
    pub(in super::super) unsafe fn read(lock: *mut bindings::rwlock_t) -> Flags {
        let flags = save();
        // SAFETY: By the safety requirement. The slow path is for one that is counted already, with
        // interrupts off.
        unsafe {
            if add(lock, bindings::_QR_BIAS) & bindings::_QW_WMASK != 0 {
                bindings::queued_read_lock_slowpath(&raw mut (*lock).raw_lock);
            }
        }
        flags
    }

    /// See [`super::unlock`].
    ///
    /// # Safety
    ///
    /// As there.
    #[inline(always)]
    pub(in super::super) unsafe fn unlock(lock: *mut bindings::rwlock_t, flags: Flags) {
        // SAFETY: By the safety requirement.
        unsafe { add(lock, bindings::_QR_BIAS.wrapping_neg()) };
        restore(flags);
    }
}

/// Whether interrupts are off for sure while the lock is held.
pub(super) const INTERRUPTS_OFF: bool = imp::INTERRUPTS_OFF;

/// Takes the lock for reading, if no writer has it, or will not have in a moment. Any context.
///
/// # Safety
///
/// The lock is initialized. Interrupts are off already, with `OFF`.
#[inline(always)]
pub(super) unsafe fn try_read<const OFF: bool>(lock: *mut bindings::rwlock_t) -> Option<Flags> {
    // SAFETY: By the safety requirement.
    unsafe { imp::try_read::<OFF>(lock) }
}

/// Takes the lock for reading. Spins.
///
/// # Safety
///
/// The lock is initialized, and the context may wait for it.
#[inline(always)]
pub(super) unsafe fn read(lock: *mut bindings::rwlock_t) -> Flags {
    // SAFETY: By the safety requirement.
    unsafe { imp::read(lock) }
}

/// Releases the lock.
///
/// # Safety
///
/// It is held for reading, with `flags` from before.
#[inline(always)]
pub(super) unsafe fn unlock(lock: *mut bindings::rwlock_t, flags: Flags) {
    // SAFETY: By the safety requirement.
    unsafe { imp::unlock(lock, flags) }
}

/// Whether anybody holds the lock for reading, who may not have seen what the caller has written
/// before; whoever takes it later sees that.
///
/// # Safety
///
/// The lock is initialized.
#[inline(always)]
pub(super) unsafe fn may_have_readers(lock: *mut bindings::rwlock_t) -> bool {
    // SAFETY: By the safety requirement.
    unsafe { imp::may_have_readers(lock) }
}
