// SPDX-License-Identifier: GPL-2.0
//! What transitions take.

use std::collections::BTreeSet;
use std::time::Duration;

use harness::outcome::{fail, Outcome};
use livepatch::Took;

use crate::storms::{tell, tell_tried};

/// So many tasks are told by their names.
const FEW: usize = 8;

/// What all switches took.
#[derive(Default)]
pub struct Times {
    pub on: Vec<Took>,
    pub off: Vec<Took>,
}

impl Times {
    /// Tells of them.
    pub fn report(&self) {
        let line = |what: &str, took: &[Took], part: fn(&Took) -> Duration| {
            let mut times: Vec<_> = took.iter().map(part).collect();
            times.sort();
            let ms = |index: usize| times.get(index).map_or(0, Duration::as_millis);
            tell(&format!(
                "{what}: {} ms at least, {} ms as a rule, {} ms at most",
                ms(0),
                ms(times.len() / 2),
                ms(times.len().saturating_sub(1))
            ));
        };
        line(
            "inserting, with functions given to ftrace",
            &self.on,
            |took| took.module,
        );
        line("the transition to Rust", &self.on, |took| took.transition);
        line("the transition to C", &self.off, |took| took.transition);
        line("taking functions from ftrace", &self.off, |took| took.after);
        line("removing", &self.off, |took| took.module);
        for (to, took) in [("Rust", &self.on), ("C", &self.off)] {
            // Where many were left, it was only the first look at them.
            let few = took.iter().filter(|took| took.last.len() <= FEW);
            let last = few.flat_map(|took| took.last.iter());
            let names: BTreeSet<_> = last.filter_map(|task| task.split(' ').next()).collect();
            let names: Vec<_> = names.into_iter().collect();
            tell(&format!(
                "last to change over to {to}: {}",
                names.join(", ")
            ));
        }
    }

    /// Fails if some transition took too long.
    pub fn check(&self, limit: Duration) -> Outcome {
        let all: Vec<_> = self.on.iter().chain(&self.off).collect();
        let late = all.iter().filter(|took| took.transition > limit).count();
        tell_tried(all.len() as u64, "transitions", late as u64);
        match all.into_iter().max_by_key(|took| took.transition) {
            Some(longest) if longest.transition > limit => Err(fail(format!(
                "a transition took {:.1} s, and must end within {} s; it waited for {}",
                longest.transition.as_secs_f64(),
                limit.as_secs(),
                longest.last.join(", ")
            ))),
            _ => Ok(()),
        }
    }
}
