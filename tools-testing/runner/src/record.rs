// SPDX-License-Identifier: GPL-2.0
//! A boot's events, sorted by step.

use protocol::{Event, Outcome};
use std::time::Duration;

/// What a step told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepRecord {
    /// Its id.
    pub id: String,
    /// Its end; `None` where the machine did not live to tell.
    pub outcome: Option<Outcome>,
    /// How long it took.
    pub took: Duration,
    /// Its programs' output.
    pub output: Vec<String>,
    /// The Xen guest's kernel log.
    pub guest_kernel: Vec<String>,
}

/// Sorts events by step, in the order in which the steps began.
pub fn steps(events: &[Event]) -> Vec<StepRecord> {
    let mut steps: Vec<StepRecord> = Vec::new();
    for event in events {
        if let Event::Begin { id } = event {
            steps.push(StepRecord {
                id: id.clone(),
                outcome: None,
                took: Duration::ZERO,
                output: Vec::new(),
                guest_kernel: Vec::new(),
            });
        }
        let Some(step) = steps.last_mut() else {
            continue;
        };
        match event {
            Event::Output { line } => step.output.push(line.clone()),
            Event::GuestKernel { line } => step.guest_kernel.push(line.clone()),
            Event::End { id, outcome, ms } if *id == step.id => {
                step.outcome = Some(outcome.clone());
                step.took = Duration::from_millis(*ms);
            }
            _ => {}
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_goes_to_its_step() {
        let begin = |id: &str| Event::Begin { id: id.into() };
        let line = |line: &str| Event::Output { line: line.into() };
        let end = |id: &str, ms| Event::End {
            id: id.into(),
            outcome: Outcome::Ok,
            ms,
        };
        let events = [
            line("lost"),
            begin("a"),
            line("1"),
            end("a", 5),
            begin("b"),
            line("2"),
        ];
        let steps = steps(&events);
        assert_eq!(steps.len(), 2);
        assert_eq!(steps[0].output, ["1"]);
        assert_eq!(steps[0].outcome, Some(Outcome::Ok));
        assert_eq!(steps[0].took, Duration::from_millis(5));
        // The machine died in the second.
        assert_eq!((steps[1].output.len(), &steps[1].outcome), (1, &None));
    }
}
