// SPDX-License-Identifier: GPL-2.0

//! Memory barriers that cost nothing on x86, where the kernel crate calls a function.
//!
//! The CPU orders loads among each other, and stores, so that only the compiler need be kept from
//! doing otherwise. Source: `arch/x86/include/asm/barrier.h`.

use core::arch::asm;

/// Orders loads before it ahead of loads after it.
pub(crate) fn smp_rmb() {
    // SAFETY: There is no instruction. The compiler takes it for one that may look at any memory.
    unsafe { asm!("", options(nostack, preserves_flags)) }
}

/// Orders stores before it ahead of stores after it.
pub(crate) fn smp_wmb() {
    // SAFETY: As in `smp_rmb`.
    unsafe { asm!("", options(nostack, preserves_flags)) }
}
