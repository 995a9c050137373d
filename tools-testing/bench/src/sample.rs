// SPDX-License-Identifier: GPL-2.0
//! What calls cost, by the time stamp counter.

use std::arch::x86_64::{__rdtscp, _mm_lfence, _rdtsc};

use harness::outcome::Outcome;

/// Calls whose median is the cost of a path.
pub const MANY: usize = 61;
/// The same for a path that takes long.
pub const FEW: usize = 7;

/// What some calls cost, one by one.
#[derive(Default)]
pub struct Samples(Vec<u64>);

impl Samples {
    /// Has `count` calls made: `prepare` first, which costs nothing, then `call`.
    pub fn of(
        count: usize,
        mut prepare: impl FnMut() -> Outcome,
        mut call: impl FnMut() -> Outcome,
    ) -> Outcome<Self> {
        let mut samples = Self::default();
        for _ in 0..count {
            prepare()?;
            samples.time(&mut call)?;
        }
        Ok(samples)
    }

    /// Notes what a call costs.
    pub fn time(&mut self, call: impl FnOnce() -> Outcome) -> Outcome {
        let (result, ticks) = ticks_of(call);
        self.0.push(ticks);
        result
    }

    /// Notes what an interrupt takes that comes meanwhile: the longest time between two of so many
    /// looks at the counter.
    pub fn interruption(&mut self, looks: u32) {
        let mut longest = 0;
        let mut last = end();
        for _ in 0..looks {
            let now = end();
            longest = longest.max(now.saturating_sub(last));
            last = now;
        }
        self.0.push(longest);
    }

    /// Notes what somebody else has measured.
    pub fn add(&mut self, ticks: impl Iterator<Item = u64>) {
        self.0.extend(ticks);
    }

    /// The median.
    pub fn median(mut self) -> Option<u64> {
        let middle = self.0.len() / 2;
        self.0.sort_unstable();
        self.0.get(middle).copied()
    }
}

/// What `call` returns, and what it costs.
pub fn ticks_of<T>(call: impl FnOnce() -> T) -> (T, u64) {
    let begun = begin();
    let result = call();
    (result, end().saturating_sub(begun))
}

/// The counter before what is measured.
fn begin() -> u64 {
    // SAFETY: every x86-64 processor has both instructions.
    unsafe {
        _mm_lfence();
        let ticks = _rdtsc();
        _mm_lfence();
        ticks
    }
}

/// The counter after it.
fn end() -> u64 {
    // SAFETY: every processor that KVM runs on has both instructions.
    unsafe {
        let ticks = __rdtscp(&mut 0);
        _mm_lfence();
        ticks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call_that_was_interrupted_does_not_count() {
        let mut samples = Samples::default();
        samples.add([5, 1_000_000, 4, 5, 5].into_iter());
        assert_eq!(samples.median(), Some(5));
        assert_eq!(Samples::default().median(), None);
    }
}
