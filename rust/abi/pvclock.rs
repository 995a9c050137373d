// SPDX-License-Identifier: GPL-2.0

//! The guest's clock, computed as the guest computes it.
//!
//! Source: `struct pvclock_vcpu_time_info`, `asm/pvclock-abi.h`.

use super::layout::{Declared, Structure, Words};

/// `struct pvclock_vcpu_time_info` in guest memory: 32 bytes, on its own or at the end of
/// `vcpu_info`.
pub(crate) struct TimeInfo;

impl Declared for TimeInfo {}
impl Structure for TimeInfo {
    const SIZE: usize = 32;
    const ALIGN: usize = 1;
}

/// All of it, as words. They need not be aligned in memory.
pub(crate) const WORDS: Words<TimeInfo, 4> = Words::at(0);

/// How TSC ticks become nanoseconds of system time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scale {
    tsc_timestamp: u64,
    system_time: u64,
    /// The fraction, in units of 2^-32, that a tick is multiplied by.
    pub(crate) mul: u32,
    /// By how much it is shifted left first, or right if negative.
    pub(crate) shift: i8,
}

impl Scale {
    /// From the words of the structure. The version is not looked at: the reader is the one who
    /// writes it.
    pub(crate) const fn from_words(words: [u64; 4]) -> Self {
        let [_version, tsc_timestamp, system_time, scale] = words;
        Self {
            tsc_timestamp,
            system_time,
            mul: scale as u32,
            shift: (scale >> 32) as i8,
        }
    }

    /// The system time at `tsc`, in nanoseconds.
    pub(crate) const fn system_time(&self, tsc: u64) -> u64 {
        let delta = tsc.wrapping_sub(self.tsc_timestamp);
        // A guest's shift may be any; by 64 and more nothing is left.
        let by = self.shift.unsigned_abs() as u32;
        let scaled = if by > 63 {
            0
        } else if self.shift < 0 {
            delta >> by
        } else {
            delta << by
        };
        let nsec = (scaled as u128 * self.mul as u128) >> 32;
        self.system_time.wrapping_add(nsec as u64)
    }
}

/// How far in the future, in nanoseconds, a timeout of `set_timer_op` is to fire.
///
/// Xen takes a timeout that is negative, or more than 2^50 ns ahead, for an overflow in the guest's
/// arithmetic, and fires 100 ms from now: early enough for a guest that overflowed, and late
/// enough for one that meant it. Source: the comment on `HYPERVISOR_set_timer_op` in Xen's
/// documentation, and what Linux guests rely on.
pub(crate) const fn linux_workaround(timeout: u64, delta: i64) -> i64 {
    const NSEC_PER_MSEC: i64 = 1_000_000;
    if (timeout as i64) < 0 || delta > 0 && (delta >> 50) != 0 {
        100 * NSEC_PER_MSEC
    } else {
        delta
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(mul: u32, shift: i8) -> Scale {
        let shift = u64::from(shift.to_le_bytes()[0]);
        let scale = Scale::from_words([0, 1000, 5000, u64::from(mul) | shift << 32 | 0xff << 40]);
        assert_eq!(
            (scale.mul, u64::from(scale.shift.to_le_bytes()[0])),
            (mul, shift)
        );
        scale
    }

    #[test]
    fn half_a_nanosecond_per_tick() {
        assert_eq!(scale(1 << 31, 0).system_time(1000), 5000);
        assert_eq!(scale(1 << 31, 0).system_time(1200), 5100);
        assert_eq!(scale(1 << 31, 1).system_time(1200), 5200);
        assert_eq!(scale(1 << 31, -1).system_time(1200), 5050);
    }

    #[test]
    fn no_shift_or_time_of_a_guest_overflows() {
        for shift in i8::MIN..=i8::MAX {
            scale(u32::MAX, shift).system_time(u64::MAX);
            scale(u32::MAX, shift).system_time(0);
        }
    }

    #[test]
    fn overflown_timeouts_fire_in_100_ms() {
        assert_eq!(linux_workaround(u64::MAX, -5), 100_000_000);
        assert_eq!(linux_workaround(1 << 62, 1 << 50), 100_000_000);
        assert_eq!(linux_workaround(1 << 62, (1 << 50) - 1), (1 << 50) - 1);
        assert_eq!(linux_workaround(10, -5), -5);
    }
}
