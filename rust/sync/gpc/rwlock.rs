// SPDX-License-Identifier: GPL-2.0

//! `rwlock_t`, held for reading with interrupts off.
//!
//! It is held for as long as it takes to set a few bits, so that to call C's functions for it would
//! be most of what it costs. What they do is done here, but for the count of preemption: with
//! interrupts off there is none. Where the kernel keeps an account of its locks, or they sleep, it
//! is left to C.
//!
//! C header: `include/asm-generic/qrwlock.h`.

use crate::{bindings, object::Object};

pub(super) use crate::sync::interrupts::Flags;

pub(super) use imp::{may_have_readers, read, try_read, unlock, INTERRUPTS_OFF};

/// A lock, as C has it.
pub(super) type Lock<'a> = Object<'a, bindings::rwlock_t>;

#[cfg(locks_by_c)]
mod imp {
    use super::{bindings, Flags, Lock};

    /// As the one below.
    pub(in super::super) const INTERRUPTS_OFF: bool = false;

    /// As the one below.
    ///
    /// # Safety
    ///
    /// As there.
    #[inline(always)]
    pub(in super::super) unsafe fn may_have_readers(_lock: Lock<'_>) -> bool {
        true
    }

    /// As the one below.
    ///
    /// # Safety
    ///
    /// As there.
    #[inline(always)]
    pub(in super::super) unsafe fn try_read(lock: Lock<'_>, _off: bool) -> Option<Flags> {
        let mut flags = 0;
        // SAFETY: By the safety requirement.
        unsafe { bindings::kvm_xen_rs_read_trylock_irqsave(lock.as_ptr(), &mut flags) }
            .then_some(Flags(flags))
    }

    /// As the one below.
    ///
    /// # Safety
    ///
    /// As there.
    #[inline(always)]
    pub(in super::super) unsafe fn read(lock: Lock<'_>) -> Flags {
        let mut flags = 0;
        // SAFETY: By the safety requirement.
        unsafe { bindings::kvm_xen_rs_read_lock_irqsave(lock.as_ptr(), &mut flags) };
        Flags(flags)
    }

    /// As the one below.
    ///
    /// # Safety
    ///
    /// As there.
    #[inline(always)]
    pub(in super::super) unsafe fn unlock(lock: Lock<'_>, Flags(flags): Flags) {
        // SAFETY: By the safety requirement.
        unsafe { bindings::kvm_xen_rs_read_unlock_irqrestore(lock.as_ptr(), flags) }
    }
}

#[cfg(not(locks_by_c))]
mod imp {
    use super::{bindings, Flags, Lock};
    use crate::{
        object::{field, Object},
        sync::interrupts::{restore, save},
    };
    use core::{arch::asm, hint};

    /// How often a lock that is held for writing is looked at before it is given up.
    const LOOKS: u32 = 200;

    /// Whether interrupts are off for sure while the lock is held.
    pub(in super::super) const INTERRUPTS_OFF: bool = true;

    /// The word of the lock: the number of readers, and below it what there is of writers.
    #[inline(always)]
    fn word(lock: Lock<'_>) -> Object<'_, i32> {
        field!(lock, raw_lock.__bindgen_anon_1.cnts.counter)
    }

    /// Adds to the word, and returns what it was. Fully ordered.
    ///
    /// # Safety
    ///
    /// The lock is initialized.
    #[inline(always)]
    unsafe fn add(lock: Lock<'_>, mut value: u32) -> u32 {
        // SAFETY: The word is there, and all change it by atomic operations: C's `qrwlock` does.
        unsafe {
            asm!(
                "lock xadd dword ptr [{word}], {value:e}",
                word = in(reg) word(lock).as_ptr(),
                value = inout(reg) value,
                options(nostack),
            )
        };
        value
    }

    /// Counts one more reader; returns whether there was no writer.
    ///
    /// # Safety
    ///
    /// The lock is initialized.
    #[inline(always)]
    unsafe fn count_in(lock: Lock<'_>) -> bool {
        // SAFETY: By the safety requirement.
        unsafe { add(lock, bindings::_QR_BIAS) & bindings::_QW_WMASK == 0 }
    }

    /// Counts one reader less.
    ///
    /// # Safety
    ///
    /// The lock is initialized, and this was counted as a reader.
    #[inline(always)]
    unsafe fn count_out(lock: Lock<'_>) {
        // SAFETY: By the safety requirement.
        unsafe { add(lock, bindings::_QR_BIAS.wrapping_neg()) };
    }

    /// Whether anybody holds the lock for reading, who may not have seen what the caller has written
    /// before; whoever takes it later sees that.
    ///
    /// # Safety
    ///
    /// The lock is initialized.
    #[inline(always)]
    pub(in super::super) unsafe fn may_have_readers(lock: Lock<'_>) -> bool {
        // Readers change the same word before they look at anything.
        // SAFETY: By the safety requirement.
        unsafe { add(lock, 0) >= bindings::_QR_BIAS }
    }

    /// Takes the lock for reading, if no writer has it, or will not have in a moment. Any context.
    ///
    /// # Safety
    ///
    /// The lock is initialized. Interrupts are off already, with `off`.
    #[inline(always)]
    pub(in super::super) unsafe fn try_read(lock: Lock<'_>, off: bool) -> Option<Flags> {
        let flags = if off { Flags(0) } else { save() };
        // SAFETY: By the safety requirement.
        let free = unsafe { count_in(lock) };
        // SAFETY: The lock is initialized, and this has been counted as a reader.
        if free || unsafe { try_again(lock) } {
            return Some(flags);
        }
        restore(flags);
        None
    }

    /// After a first attempt that met a writer, and is still counted as a reader. Writers are short:
    /// to come back later costs more than to look again.
    ///
    /// # Safety
    ///
    /// The lock is initialized, and this is counted as a reader.
    #[cold]
    #[inline(never)]
    unsafe fn try_again(lock: Lock<'_>) -> bool {
        // SAFETY: By the safety requirement.
        unsafe { count_out(lock) };
        for _ in 0..LOOKS {
            hint::spin_loop();
            if word(lock).read_once() as u32 & bindings::_QW_WMASK == 0 {
                // SAFETY: The lock is initialized.
                if unsafe { count_in(lock) } {
                    return true;
                }
                // SAFETY: Counted just above.
                unsafe { count_out(lock) };
            }
        }
        false
    }

    /// Takes the lock for reading. Spins.
    ///
    /// # Safety
    ///
    /// The lock is initialized, and the context may wait for it.
    #[inline(always)]
    pub(in super::super) unsafe fn read(lock: Lock<'_>) -> Flags {
        let flags = save();
        // SAFETY: By the safety requirement.
        if !unsafe { count_in(lock) } {
            let lock = field!(lock, raw_lock).as_ptr();
            // SAFETY: The slow path is for one that is counted already, with interrupts off.
            unsafe { bindings::queued_read_lock_slowpath(lock) };
        }
        flags
    }

    /// Releases the lock.
    ///
    /// # Safety
    ///
    /// It is held for reading, with `flags` from before.
    #[inline(always)]
    pub(in super::super) unsafe fn unlock(lock: Lock<'_>, flags: Flags) {
        // SAFETY: By the safety requirement.
        unsafe { count_out(lock) };
        restore(flags);
    }
}
