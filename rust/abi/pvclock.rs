// SPDX-License-Identifier: GPL-2.0

//! The guest's clock, computed as the guest computes it.
//!
//! Source: `struct pvclock_vcpu_time_info`, `asm/pvclock-abi.h`.

use super::layout::{Field, Structure};

/// `struct pvclock_vcpu_time_info` in guest memory: 32 bytes, on its own or at the end of
/// `vcpu_info`.
pub(crate) struct TimeInfo;

impl Structure for TimeInfo {
    const SIZE: usize = 32;
    const ALIGN: usize = 1;
}

/// The 32 bytes of it.
pub(crate) const BYTES: Field<TimeInfo, [u8; 32]> = Field::at(0);

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
    /// Reads the structure's bytes.
    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        let [_, _, _, _, _, _, _, _, rest @ ..] = bytes;
        let [t0, t1, t2, t3, t4, t5, t6, t7, rest @ ..] = rest;
        let [s0, s1, s2, s3, s4, s5, s6, s7, rest @ ..] = rest;
        let [m0, m1, m2, m3, shift, _flags, _, _] = rest;
        Self {
            tsc_timestamp: u64::from_le_bytes([t0, t1, t2, t3, t4, t5, t6, t7]),
            system_time: u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]),
            mul: u32::from_le_bytes([m0, m1, m2, m3]),
            shift: i8::from_le_bytes([shift]),
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
        let mut bytes = [0; 32];
        bytes[8..16].copy_from_slice(&1000u64.to_le_bytes());
        bytes[16..24].copy_from_slice(&5000u64.to_le_bytes());
        bytes[24..28].copy_from_slice(&mul.to_le_bytes());
        bytes[28] = shift.to_le_bytes()[0];
        Scale::from_bytes(bytes)
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
