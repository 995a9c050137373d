// SPDX-License-Identifier: GPL-2.0
//! Time limits: of the boot, of each step, and of the silence between them.

use crate::accel::Accel;
use protocol::{Event, MachinePlan};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Init ends a step that takes too long; we wait longer before we give init up. Changing the side
/// in charge before a step doesn't count as the step's.
const GRACE: Duration = Duration::from_secs(100);

/// The limits that no step has of its own.
#[derive(Clone, Copy)]
pub struct Limits {
    /// Until init speaks.
    up: Duration,
    /// Between two steps.
    between: Duration,
    /// For everything.
    all: Option<Duration>,
}

impl Limits {
    /// For machines that run so, with a kernel for which one needs so much patience, and may take
    /// `limit_s` in all.
    pub fn of(accel: Accel, patience: u64, limit_s: Option<u64>) -> Self {
        let up = match accel {
            Accel::Kvm => 30,
            Accel::Tcg | Accel::Counted | Accel::Parallel => 120,
        };
        Limits {
            up: Duration::from_secs(up * patience),
            between: Duration::from_secs(60 * patience),
            all: limit_s.map(Duration::from_secs),
        }
    }
}

/// Knows what the machine is at, and until when it may be.
pub struct Watch {
    limits: Limits,
    steps: HashMap<String, Duration>,
    begun: Instant,
    since: Instant,
    at: At,
    last: String,
}

enum At {
    Booting,
    Between,
    Step(String),
    /// A person is at it.
    Prompt,
}

impl Watch {
    /// For a machine that has just been started.
    pub fn new(plan: &MachinePlan, limits: &Limits) -> Self {
        let steps = plan.steps.iter();
        let now = Instant::now();
        Watch {
            limits: *limits,
            steps: steps
                .map(|step| (step.id.clone(), Duration::from_secs(step.limit_s)))
                .collect(),
            begun: now,
            since: now,
            at: At::Booting,
            last: String::new(),
        }
    }

    /// Takes note of an event.
    pub fn saw(&mut self, event: &Event) {
        let at = match event {
            Event::Up { .. } | Event::End { .. } => At::Between,
            Event::Begin { id } => At::Step(id.clone()),
            Event::Prompt => At::Prompt,
            Event::Note { text } => return self.last.clone_from(text),
            Event::Changed(_) => return self.last.clear(),
            _ => return,
        };
        self.at = at;
        self.last.clear();
        self.since = Instant::now();
    }

    /// When patience ends.
    pub fn deadline(&self) -> Instant {
        let own = match &self.at {
            At::Booting => self.limits.up,
            At::Between => self.limits.between,
            At::Step(id) => self
                .steps
                .get(id)
                .map_or(self.limits.between, |limit| *limit + GRACE),
            // As good as for ever, and no overflow.
            At::Prompt => return self.since + Duration::from_secs(365 * 24 * 3600),
        };
        let own = self.since + own;
        match self.limits.all {
            Some(all) => own.min(self.begun + all),
            None => own,
        }
    }

    /// Where the machine is, as a clause.
    pub fn place(&self) -> String {
        let place = match &self.at {
            At::Booting => "before init ran".into(),
            At::Between => "between two steps".into(),
            At::Step(id) => format!("in {id}"),
            At::Prompt => "at the prompt".into(),
        };
        if self.last.is_empty() {
            place
        } else {
            format!("{place}, {}", self.last)
        }
    }

    /// What to say when the deadline has passed.
    pub fn complaint(&self) -> String {
        let whole = self.limits.all.filter(|all| self.begun.elapsed() >= *all);
        let (what, limit) = match whole {
            Some(all) => ("the boot was not done within its", all),
            None => ("the machine has hung for", self.since.elapsed()),
        };
        format!("{what} {} s: {}", limit.as_secs(), self.place())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{Action, ExecAction, Step};

    fn plan() -> MachinePlan {
        MachinePlan {
            steps: vec![Step {
                id: "upstream/c/test".into(),
                side: None,
                limit_s: 7,
                action: Action::Exec(ExecAction::text(vec!["/test".into()])),
            }],
            ..MachinePlan::default()
        }
    }

    #[test]
    fn each_place_has_its_limit() {
        let limits = Limits::of(Accel::Tcg, 1, None);
        let mut watch = Watch::new(&plan(), &limits);
        assert_eq!(watch.deadline(), watch.since + limits.up);
        watch.saw(&Event::Begin {
            id: "upstream/c/test".into(),
        });
        assert_eq!(
            watch.deadline(),
            watch.since + Duration::from_secs(7) + GRACE
        );
        watch.saw(&Event::Note {
            text: "waiting".into(),
        });
        assert_eq!(watch.place(), "in upstream/c/test, waiting");
        watch.saw(&Event::Done);
        assert_eq!(watch.place(), "in upstream/c/test, waiting");
    }

    #[test]
    fn the_whole_has_a_limit_of_its_own() {
        let mut watch = Watch::new(&plan(), &Limits::of(Accel::Tcg, 1, Some(5)));
        watch.saw(&Event::Begin {
            id: "upstream/c/test".into(),
        });
        assert_eq!(watch.deadline(), watch.begun + Duration::from_secs(5));
        watch.begun -= Duration::from_secs(6);
        assert_eq!(
            watch.complaint(),
            "the boot was not done within its 5 s: in upstream/c/test"
        );
    }
}
