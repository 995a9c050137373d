// SPDX-License-Identifier: GPL-2.0

//! Bounds that hold under speculation, too.
//!
//! Source: `array_index_nospec()`, Documentation/staging/speculation.rst.

use core::arch::asm;

/// `index` if it is below `size`, and 0 otherwise, also under speculation.
pub(super) fn index_nospec(index: u64, size: u64) -> u64 {
    let mask: u64;
    // SAFETY: Arithmetic on registers alone.
    unsafe {
        asm!(
            "cmp {index}, {size}",
            "sbb {mask}, {mask}",
            index = in(reg) index,
            size = in(reg) size,
            mask = lateout(reg) mask,
            options(pure, nomem, nostack),
        );
    }
    index & mask
}
