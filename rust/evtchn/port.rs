// SPDX-License-Identifier: GPL-2.0

//! Ports.

use crate::abi::WordSize;

/// A port that a guest of the word size `size` has.
///
/// # Invariants
///
/// `nr` is below the number of ports of `size`. It may be 0, which Xen uses for no channel, but
/// has a bit for.
#[derive(Clone, Copy)]
pub(crate) struct Port {
    nr: u32,
    size: WordSize,
}

impl Port {
    /// The port `nr`, if the guest has it.
    pub(crate) const fn new(nr: u32, size: WordSize) -> Option<Self> {
        if nr < size.nr_ports() {
            // INVARIANT: Checked just above.
            Some(Self { nr, size })
        } else {
            None
        }
    }

    /// Its number.
    pub(crate) const fn nr(self) -> u32 {
        self.nr
    }

    /// The word size of the guest that has it.
    pub(crate) const fn word_size(self) -> WordSize {
        self.size
    }

    /// The word of the bitmaps that it is in.
    pub(crate) const fn word(self) -> u32 {
        self.size.word_of(self.nr)
    }
}
