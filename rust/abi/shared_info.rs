// SPDX-License-Identifier: GPL-2.0

//! The page that a domain shares with Xen.
//!
//! Source: `struct shared_info` in `xen/interface/xen.h`; `static_assert`s against the kernel's
//! own definitions are in `kvm/layout_check.rs`.

use super::{
    layout::{Bits, Declared, Field, Structure},
    WordSize,
};

/// `struct shared_info`, in a page of its own.
pub(crate) struct SharedInfo;

impl Declared for SharedInfo {}
impl Structure for SharedInfo {
    const SIZE: usize = 4096;
    const ALIGN: usize = 4096;
}

/// Behind the `vcpu_info` of the first 32 vCPUs, 64 bytes each.
const PENDING: usize = 32 * 64;

/// The ports that are pending, a bit each.
pub(crate) const fn evtchn_pending(size: WordSize) -> Bits<SharedInfo> {
    const BITS32: Bits<SharedInfo> = Bits::at(PENDING, WordSize::Bits32.nr_ports());
    const BITS64: Bits<SharedInfo> = Bits::at(PENDING, WordSize::Bits64.nr_ports());
    match size {
        WordSize::Bits32 => BITS32,
        WordSize::Bits64 => BITS64,
    }
}

/// The ports that are masked, a bit each.
pub(crate) const fn evtchn_mask(size: WordSize) -> Bits<SharedInfo> {
    const BITS32: Bits<SharedInfo> = Bits::at(PENDING + 128, WordSize::Bits32.nr_ports());
    const BITS64: Bits<SharedInfo> = Bits::at(PENDING + 512, WordSize::Bits64.nr_ports());
    match size {
        WordSize::Bits32 => BITS32,
        WordSize::Bits64 => BITS64,
    }
}

/// Where the wall clock is.
pub(crate) struct WallClock {
    /// Odd while the other fields change.
    pub(crate) version: Field<SharedInfo, u32>,
    /// Seconds of the Unix epoch at which the guest's system time was 0; their low half.
    pub(crate) sec: Field<SharedInfo, u32>,
    /// Nanoseconds, below 10^9, to add to the seconds.
    pub(crate) nsec: Field<SharedInfo, u32>,
    /// The high half of the seconds.
    pub(crate) sec_hi: Field<SharedInfo, u32>,
}

/// The wall clock of a guest.
pub(crate) const fn wall_clock(size: WordSize) -> WallClock {
    const fn at(offset: usize, sec_hi: usize) -> WallClock {
        WallClock {
            version: Field::at(offset),
            sec: Field::at(offset + 4),
            nsec: Field::at(offset + 8),
            sec_hi: Field::at(sec_hi),
        }
    }
    const BITS32: WallClock = at(0x900, 0x924);
    const BITS64: WallClock = at(0xc00, 0xc0c);
    match size {
        WordSize::Bits32 => BITS32,
        WordSize::Bits64 => BITS64,
    }
}

/// A moment as the wall clock holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WallTime {
    /// Seconds since the Unix epoch.
    pub(crate) sec: u64,
    /// Nanoseconds, below 10^9.
    pub(crate) nsec: u32,
}

impl WallTime {
    /// From nanoseconds since the Unix epoch.
    pub(crate) const fn from_nsec(nsec: u64) -> Self {
        const NSEC_PER_SEC: u64 = 1_000_000_000;
        Self {
            sec: nsec / NSEC_PER_SEC,
            // Below 10^9, so that nothing is cut off.
            nsec: (nsec % NSEC_PER_SEC) as u32,
        }
    }
}

/// The version while the wall clock is written: the next odd one.
pub(crate) const fn version_while_written(version: u32) -> u32 {
    version.wrapping_add(1) | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bitmaps_of_a_guest_adjoin() {
        for size in [WordSize::Bits32, WordSize::Bits64] {
            let (pending, last) = evtchn_pending(size).locate(size.nr_ports() - 1);
            assert_eq!(
                evtchn_mask(size).locate(0),
                (pending + (last as usize + 1) / 8, 0)
            );
        }
    }

    #[test]
    fn the_wall_clock_is_behind_the_bitmaps() {
        for size in [WordSize::Bits32, WordSize::Bits64] {
            let (mask, last) = evtchn_mask(size).locate(size.nr_ports() - 1);
            assert_eq!(
                wall_clock(size).version.offset(),
                mask + (last as usize + 1) / 8
            );
        }
    }

    #[test]
    fn a_version_while_written_is_odd_and_new() {
        for version in [0, 1, 2, 3, u32::MAX - 1, u32::MAX] {
            let next = version_while_written(version);
            assert_eq!(next % 2, 1);
            assert_ne!(next, version);
        }
    }

    #[test]
    fn nanoseconds_are_split_without_loss() {
        for nsec in [0, 1, 999_999_999, 1_000_000_000, 1 << 62, u64::MAX] {
            let time = WallTime::from_nsec(nsec);
            assert!(time.nsec < 1_000_000_000);
            assert_eq!(time.sec * 1_000_000_000 + u64::from(time.nsec), nsec);
        }
    }
}
