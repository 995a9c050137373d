// SPDX-License-Identifier: GPL-2.0
//! From what a boot told to the results of its tests.

use super::lock_order;
use super::machines::{Expected, Machine};
use crate::boot::Ended;
use crate::klog::{self, Splat};
use crate::ktap;
use crate::record::{self, StepRecord};
use crate::report::{Report, Verdict};
use protocol::{Action, Event, ExecAction, MachinePlan, Outcome, Output, Step, KLOG_TAG};
use std::path::Path;
use std::time::Duration;

/// Judges a boot's steps, each as it ends.
pub struct Judge<'a> {
    report: &'a Report,
    plan: &'a MachinePlan,
    expected: &'a [(String, Expected)],
    events: Vec<Event>,
}

impl<'a> Judge<'a> {
    /// For a boot that begins.
    pub fn new(
        report: &'a Report,
        plan: &'a MachinePlan,
        expected: &'a [(String, Expected)],
    ) -> Self {
        Judge {
            report,
            plan,
            expected,
            events: Vec::new(),
        }
    }

    /// Takes an event; adds the results of the step that it ends.
    pub fn event(&mut self, event: &Event) {
        self.events.push(event.clone());
        if let Event::End { id, .. } = event {
            let records = record::steps(&self.events);
            let record = records.iter().find(|record| record.id == *id);
            let step = self.plan.steps.iter().find(|step| step.id == *id);
            if let Some(record) = record {
                self.report.output(id, &record.output);
            }
            if let Some(step) = step.filter(|step| !self.is_expected(step)) {
                self.add(step_results(step, record, None));
            }
        }
    }

    fn is_expected(&self, step: &Step) -> bool {
        self.expected.iter().any(|(id, _)| *id == step.id)
    }

    /// The boot is over: adds the results of the steps that have not ended, and of those from which
    /// something else than their end is expected.
    pub fn end(&self, ended: &Ended) {
        let fault = ended.fault.as_deref();
        let records = record::steps(&self.events);
        let record = |step: &Step| records.iter().find(|record| record.id == step.id);
        let has_ended = |step: &&Step| record(step).is_some_and(|record| record.outcome.is_some());
        let left: Vec<&Step> = self
            .plan
            .steps
            .iter()
            .filter(|step| !has_ended(step))
            .collect();
        for step in &left {
            self.add(step_results(step, record(step), fault));
        }
        let splats = klog::splats(&ended.kernel_log);
        for (id, expected) in self.expected {
            if let Some(record) = records.iter().find(|r| r.id == *id && r.outcome.is_some()) {
                let verdict = expected.verdict(record, &splats, &ended.logs);
                self.report.add(id, verdict, Some(record.took));
            }
        }
        // A fault after the last step is nobody's but the boot's.
        if let (Some([reason, lines @ ..]), true) = (fault, left.is_empty()) {
            self.report
                .add("boot", Verdict::NotOk(reason.clone(), lines.to_vec()), None);
        }
    }

    fn add(&self, results: Vec<Outcomes>) {
        for result in results {
            self.report.add(&result.name, result.verdict, result.took);
        }
    }
}

impl Expected {
    /// Whether that came of the step.
    fn verdict(&self, record: &StepRecord, splats: &[Splat], logs: &Path) -> Verdict {
        match self {
            Expected::Report(words) => {
                let in_step: Vec<_> = splats
                    .iter()
                    .filter(|splat| splat.step.as_ref() == Some(&record.id))
                    .collect();
                let has =
                    |splat: &&&Splat, word| splat.lines.iter().any(|line| line.contains(word));
                let found = in_step
                    .iter()
                    .any(|splat| words.iter().all(|&word| has(&splat, word)));
                if found {
                    return Verdict::Ok;
                }
                let lines = in_step.iter().flat_map(|splat| splat.lines.clone());
                let reason = format!("the kernel reported nothing with {}", words.join(", "));
                Verdict::NotOk(reason, lines.chain(record.output.clone()).collect())
            }
            Expected::LockOrder | Expected::ReportItTells => match record.outcome.clone() {
                Some(Outcome::Ok) if matches!(self, Expected::ReportItTells) => Verdict::Ok,
                Some(Outcome::Ok) => lock_order::verdict(&record.output, logs),
                Some(Outcome::Skip { reason }) => Verdict::Skip(reason),
                Some(Outcome::Failed { reason }) => Verdict::NotOk(reason, record.output.clone()),
                None => Verdict::NotOk("it did not end".into(), Vec::new()),
            },
        }
    }
}

struct Outcomes {
    name: String,
    verdict: Verdict,
    took: Option<Duration>,
}

fn step_results(
    step: &Step,
    record: Option<&StepRecord>,
    fault: Option<&[String]>,
) -> Vec<Outcomes> {
    let whole = |verdict, took| Outcomes {
        name: step.id.clone(),
        verdict,
        took,
    };
    let (reason, lines) = match fault {
        Some([reason, lines @ ..]) => (reason.as_str(), lines),
        _ => ("the machine told nothing of it", [].as_slice()),
    };
    let Some(record) = record else {
        return vec![whole(
            Verdict::NotOk(format!("not reached: {reason}"), Vec::new()),
            None,
        )];
    };
    let outcome = record.outcome.clone().unwrap_or_else(|| Outcome::Failed {
        reason: reason.to_owned(),
    });
    let mut details = record.output.clone();
    if record.outcome.is_none() {
        details.extend_from_slice(lines);
    }
    let is_ktap = matches!(
        step.action,
        Action::Exec(ExecAction {
            output: Output::Ktap,
            ..
        })
    );
    if is_ktap {
        return cases(&step.id, &record.output, outcome, lines);
    }
    let verdict = match outcome {
        Outcome::Ok => Verdict::Ok,
        Outcome::Skip { reason } => Verdict::Skip(reason),
        Outcome::Failed { reason } => Verdict::NotOk(reason, details),
    };
    vec![whole(verdict, Some(record.took))]
}

/// The cases of a program, and the program itself where it failed otherwise than by a case.
fn cases(id: &str, output: &[String], outcome: Outcome, fault: &[String]) -> Vec<Outcomes> {
    let told = ktap::parse(output.iter().map(String::as_str));
    let mut results: Vec<Outcomes> = Vec::new();
    for case in &told.cases {
        let verdict = match &case.result {
            ktap::Result::Ok => Verdict::Ok,
            ktap::Result::Skip(reason) => Verdict::Skip(reason.clone()),
            ktap::Result::NotOk => {
                let mut lines = case.lines.iter();
                let reason = lines
                    .next()
                    .cloned()
                    .unwrap_or_else(|| "it gave no reason".into());
                Verdict::NotOk(reason, lines.cloned().collect())
            }
        };
        results.push(Outcomes {
            name: format!("{id}/{}", case.name),
            verdict,
            took: None,
        });
    }
    let a_case_failed = told
        .cases
        .iter()
        .any(|case| case.result == ktap::Result::NotOk);
    let verdict = match (outcome, told.fault(), &told.skipped) {
        (Outcome::Skip { .. }, _, Some(reason)) | (Outcome::Ok, _, Some(reason)) => {
            Some(Verdict::Skip(reason.clone()))
        }
        (Outcome::Skip { reason }, ..) => Some(Verdict::Skip(reason)),
        (Outcome::Ok, None, _) => None,
        (Outcome::Ok, Some(fault), _) => Some(Verdict::NotOk(fault, told.rest.clone())),
        // Its exit status says no more than the cases do.
        (Outcome::Failed { .. }, None, _) if a_case_failed => None,
        (Outcome::Failed { reason }, ..) => {
            let lines = told.rest.iter().chain(fault).cloned().collect();
            Some(Verdict::NotOk(reason, lines))
        }
    };
    results.extend(verdict.map(|verdict| Outcomes {
        name: id.to_owned(),
        verdict,
        took: None,
    }));
    results
}

/// What the kernels of a boot complained of, of which they were not expected to.
pub struct Log {
    /// The test that it is.
    name: String,
    machine: Vec<Splat>,
    /// Whether what is known of C counts, too: a debug kernel has nothing to complain of.
    is_debug: bool,
    /// Whether init's lines are there, which have the level of a warning.
    is_heard: bool,
    /// The Xen guest's; none where there was no guest.
    guest: Option<Vec<Splat>>,
}

impl Log {
    /// From the log of a boot, and of its guest.
    pub fn new(machine: &dyn Machine, expected: &[(String, Expected)], ended: &Ended) -> Self {
        let steps = record::steps(&ended.events);
        let guest: Vec<&str> = steps
            .iter()
            .flat_map(|s| &s.guest_kernel)
            .map(String::as_str)
            .collect();
        let mut splats = klog::splats(&ended.kernel_log);
        splats.retain(|splat| {
            !expected
                .iter()
                .any(|(id, _)| splat.step.as_ref() == Some(id))
        });
        Log {
            name: machine.klog(),
            machine: splats,
            is_debug: machine.kernel().is_debug(),
            is_heard: ended.kernel_log.contains(KLOG_TAG) || !ended.came_up(),
            guest: (!guest.is_empty()).then(|| klog::splats(&guest.join("\n"))),
        }
    }
}

/// Adds a result for each kernel log: nothing in it but what is known of C, and nothing at all in a
/// debug kernel's. A guest's kernel doesn't know who serves it, and has nothing to complain of.
pub fn logs(report: &Report, logs: &[Log]) {
    for log in logs {
        let own = log.machine.iter();
        let own: Vec<&Splat> = own
            .filter(|splat| log.is_debug || !splat.is_known_of_c())
            .filter(|splat| !splat.is_known_of_livepatch())
            .collect();
        let verdict_of_machine = match log.is_heard {
            true => verdict(&own),
            false => Verdict::NotOk("it lacks what init has written to it".into(), Vec::new()),
        };
        report.add(&log.name, verdict_of_machine, None);
        if let Some(guest) = &log.guest {
            let own: Vec<&Splat> = guest.iter().collect();
            report.add(&format!("{}-inside", log.name), verdict(&own), None);
        }
    }
}

fn verdict(splats: &[&Splat]) -> Verdict {
    let Some(first) = splats.first() else {
        return Verdict::Ok;
    };
    let place = first.step.as_deref().unwrap_or("between two steps");
    let title = first
        .lines
        .iter()
        .find(|line| !line.contains("---") && !line.starts_with("==="));
    let title = title.map_or("", String::as_str);
    let more = match splats.len() {
        1 => String::new(),
        n => format!(" (and {} more)", n - 1),
    };
    let lines = splats
        .iter()
        .flat_map(|splat| splat.lines.clone())
        .collect();
    Verdict::NotOk(format!("in {place}: {title}{more}"), lines)
}

#[cfg(test)]
mod tests;
