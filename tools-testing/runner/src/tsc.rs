// SPDX-License-Identifier: GPL-2.0
//! How fast the time stamp counter counts.
//!
//! An emulated machine has the counter of this one. A kernel finds out by itself how fast it
//! counts, against other clocks, and errs when the emulator gets no processor meanwhile: then time
//! in the machine is some times too fast, and all limits are too short.

use std::arch::x86_64::_rdtsc;
use std::sync::LazyLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long is measured, in all.
const SPAN: Duration = Duration::from_millis(100);

/// The counter's ticks in a millisecond; `None` where it can't be measured.
pub fn khz() -> Option<u64> {
    let first = reading();
    sleep(SPAN);
    rate(first, reading())
}

/// A moment, in nanoseconds of a clock and in ticks.
type Reading = (u128, u64);

/// A reading of both at almost the same time: the closest of some tries.
fn reading() -> Reading {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let start = *START;
    let try_once = |_| {
        let before = start.elapsed();
        // SAFETY: Every x86-64 processor has the instruction, which reads a counter.
        let ticks = unsafe { _rdtsc() };
        let after = start.elapsed();
        (after - before, (before.as_nanos(), ticks))
    };
    let (_, reading) = (0..10)
        .map(try_once)
        .min_by_key(|(took, _)| *took)
        .expect("there are ten");
    reading
}

fn rate((ns0, ticks0): Reading, (ns1, ticks1): Reading) -> Option<u64> {
    let ns = ns1.checked_sub(ns0).filter(|&ns| ns > 0)?;
    let ticks = u128::from(ticks1.checked_sub(ticks0)?);
    u64::try_from(ticks * 1_000_000 / ns)
        .ok()
        .filter(|&khz| khz > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_in_a_millisecond() {
        assert_eq!(rate((0, 5), (100_000_000, 250_000_005)), Some(2_500_000));
        assert_eq!(rate((7, 5), (7, 6)), None);
        // It was set back.
        assert_eq!(rate((0, 5), (100, 4)), None);
    }

    #[test]
    fn twice_the_same() {
        let (one, other) = (khz().unwrap(), khz().unwrap());
        assert!(one.abs_diff(other) < one / 100, "{one} and {other}");
    }
}
