// SPDX-License-Identifier: GPL-2.0

//! Interrupts switched off for a few instructions.
//!
//! In a machine that Xen runs without hardware virtualization the instructions do nothing, but
//! there KVM runs no VM. Lockdep does not hear of it, so nothing in here may depend on what lockdep
//! knows of interrupts.

use crate::bindings;
use core::arch::asm;
use kernel::ffi::c_ulong;

/// Whether interrupts were on before, as the flags of the CPU.
#[derive(Clone, Copy)]
pub(crate) struct Flags(pub(super) c_ulong);

/// Switches interrupts off.
pub(super) fn save() -> Flags {
    let flags;
    // SAFETY: Interrupts may be off wherever this module runs. What the compiler has put into
    // memory stays on its side of this.
    unsafe { asm!("pushfq", "pop {}", "cli", out(reg) flags, options(preserves_flags)) };
    Flags(flags)
}

/// Switches interrupts on again, if they were.
pub(super) fn restore(Flags(flags): Flags) {
    if flags & (1 << bindings::X86_EFLAGS_IF_BIT) != 0 {
        // SAFETY: They were on when they were switched off, and nothing is held since.
        unsafe { asm!("sti", options(nostack, preserves_flags)) };
    }
}

/// Calls a function with interrupts off, so that it is not preempted either.
///
/// # Safety
///
/// It does nothing that depends on a context, which here is none that a type tells: it takes no lock,
/// does not sleep, and wakes nobody.
pub(crate) unsafe fn without<R>(f: impl FnOnce() -> R) -> R {
    let flags = save();
    let result = f();
    restore(flags);
    result
}
