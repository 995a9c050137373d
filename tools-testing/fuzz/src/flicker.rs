// SPDX-License-Identifier: GPL-2.0
//! What shows now this, now that: on C, too, it is by chance; where C is steady, it is Rust's.

use crate::trace::Trace;

/// Rounds, each on both sides, so that a machine that is busy for a while does not look like one
/// side.
pub const ROUNDS: usize = 3;
/// Runs of a sequence in a round on each side.
pub const RUNS: usize = 10;
/// So many of them have to be other than C's for the round to count. What is by chance alike on both
/// sides, however often, looks so in all rounds less than once in ten thousand times.
const OTHERS: usize = 3;

/// Whether all runs showed the same.
pub fn is_steady(runs: &[Trace]) -> bool {
    runs.windows(2).all(|pair| pair[0] == pair[1])
}

/// Whether, in a round, C always showed the same, and Rust often something else that `may_be` does
/// not allow.
pub fn is_rusts(c: &[Trace], rust: &[Trace], may_be: impl Fn(&Trace) -> bool) -> bool {
    let others = rust.iter().filter(|run| **run != c[0] && !may_be(run));
    is_steady(c) && others.count() >= OTHERS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Item, Kind};

    fn runs(values: [u64; 5]) -> Vec<Trace> {
        let item = |value| Item::new(0, Kind::Rax, 0, value);
        values.map(|value| vec![item(value)]).to_vec()
    }

    #[test]
    fn a_flicker_is_rusts_where_c_is_steady() {
        let (steady, once, often) = (runs([1; 5]), runs([1, 2, 1, 1, 1]), runs([1, 2, 3, 1, 2]));
        let never = |_: &Trace| false;
        assert!(is_rusts(&steady, &often, never));
        assert!(!is_rusts(&steady, &once, never));
        assert!(!is_rusts(&once, &often, never));
        assert!(!is_rusts(&steady, &often, |_| true));
    }
}
