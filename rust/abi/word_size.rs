// SPDX-License-Identifier: GPL-2.0

//! The word size of a guest, which decides the layout of all that it shares with Xen.

/// The word size of a guest's kernel, `KVM_XEN_ATTR_TYPE_LONG_MODE` to KVM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WordSize {
    /// 32-bit words: `long_mode` is off.
    Bits32,
    /// 64-bit words: `long_mode` is on.
    Bits64,
}

impl WordSize {
    /// The word size of a guest in long mode, or not.
    pub(crate) const fn from_long_mode(long_mode: bool) -> Self {
        if long_mode {
            Self::Bits64
        } else {
            Self::Bits32
        }
    }

    /// How many ports the 2-level ABI has: the square of the bits in a word.
    ///
    /// Source: `EVTCHN_2L_NR_CHANNELS` in `xen/interface/event_channel.h`.
    pub(crate) const fn nr_ports(self) -> u32 {
        match self {
            Self::Bits32 => 32 * 32,
            Self::Bits64 => 64 * 64,
        }
    }

    /// The word of the pending bitmap that `port` is in, which is its bit in `pending_sel`.
    pub(crate) const fn word_of(self, port: u32) -> u32 {
        match self {
            Self::Bits32 => port / 32,
            Self::Bits64 => port / 64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::WordSize::{Bits32, Bits64};

    #[test]
    fn the_last_port_is_in_the_last_word() {
        assert_eq!(Bits32.word_of(Bits32.nr_ports() - 1), 31);
        assert_eq!(Bits64.word_of(Bits64.nr_ports() - 1), 63);
    }

    #[test]
    fn a_word_ends_where_the_next_begins() {
        assert_eq!((Bits32.word_of(31), Bits32.word_of(32)), (0, 1));
        assert_eq!((Bits64.word_of(63), Bits64.word_of(64)), (0, 1));
    }
}
