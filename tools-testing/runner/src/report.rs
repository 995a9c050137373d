// SPDX-License-Identifier: GPL-2.0
//! Results of tests: told as they come, counted, and summed up in a table and the last line.

use crate::expected;
use crate::progress::{seconds, Screen};
use crate::tally::{Counts, Tally};
use protocol::RUN_AGAIN;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Lines shown of a test that failed; all of them are in the logs.
const MAX_LINES: usize = 120;

/// What came of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passed.
    Ok,
    /// It could not be tried, and why.
    Skip(String),
    /// It failed: the reason, and the lines that matter.
    NotOk(String, Vec<String>),
}

/// Collects results, from any thread.
pub struct Report {
    screen: Screen,
    tally: Mutex<Tally>,
    /// How often each test has told how it went.
    told: Mutex<BTreeMap<String, u32>>,
}

impl Report {
    /// Nothing yet.
    pub fn new(screen: &Screen) -> Self {
        Report {
            screen: screen.clone(),
            tally: Mutex::default(),
            told: Mutex::default(),
        }
    }

    /// Takes what a test's output tells beside its results: how much was tried, and whether the
    /// test was run again, which is shown. `step` is the test, or what its name begins with.
    pub fn output(&self, step: &str, lines: &[String]) {
        for line in lines {
            if let Some(reason) = line.strip_prefix(RUN_AGAIN) {
                self.screen.line(format!("# {step} is run again: {reason}"));
            }
            self.tally().take_line(step, line);
        }
    }

    /// Takes a result, which counts by what is expected of the test, and shows it.
    pub fn add(&self, name: &str, verdict: Verdict, took: Option<Duration>) {
        let verdict = expected::counted(name, verdict);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        *told.entry(name.to_owned()).or_default() += 1;
        drop(told);
        let mut tally = self.tally();
        tally.add(name, &verdict);
        // Shown under the lock, so that one test's lines stay together.
        lines(name, &verdict, took)
            .iter()
            .for_each(|line| self.screen.line(line));
    }

    /// Adds whether each of the chosen tests has told once how it went.
    pub fn each_once(&self, chosen: &[String]) {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let verdict = expected::each_once(chosen, &told);
        drop(told);
        self.add("each-test-tells-once", verdict, None);
    }

    /// Whether nothing has failed, and something was tried.
    pub fn is_good(&self) -> bool {
        let total = self.tally().total();
        total.failed == 0 && total.tried > 0
    }

    /// What was tried, kind by kind.
    pub fn table(&self) -> Vec<String> {
        self.tally().lines()
    }

    /// The last line.
    pub fn closing(&self) -> String {
        closing(self.tally().total())
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn closing(total: Counts) -> String {
    let passed = total.tried - total.failed;
    let mut text = format!("{passed} passed, {} failed", total.failed);
    if total.skipped > 0 {
        text.push_str(&format!(", {} skipped", total.skipped));
    }
    text
}

fn lines(name: &str, verdict: &Verdict, took: Option<Duration>) -> Vec<String> {
    let took = took.map_or_else(String::new, seconds);
    match verdict {
        Verdict::Ok => vec![format!("ok      {name:<60} {took:>8}")
            .trim_end()
            .to_owned()],
        Verdict::Skip(reason) => vec![format!("skip    {name}: {reason}")],
        Verdict::NotOk(reason, details) => {
            let mut lines = vec![format!("not ok  {name}: {reason}")];
            let hidden = details.len().saturating_sub(MAX_LINES);
            if hidden > 0 {
                lines.push(format!("    | ({hidden} lines more in the logs)"));
            }
            lines.extend(details[hidden..].iter().map(|line| format!("    | {line}")));
            lines
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line() {
        let mut total = Counts {
            tried: 13,
            failed: 1,
            skipped: 0,
        };
        assert_eq!(closing(total), "12 passed, 1 failed");
        total.skipped = 2;
        assert_eq!(closing(total), "12 passed, 1 failed, 2 skipped");
    }

    #[test]
    fn a_failure_shows_its_last_lines() {
        let details: Vec<_> = (0..MAX_LINES + 40).map(|n| n.to_string()).collect();
        let text = lines("a/b", &Verdict::NotOk("hung".into(), details), None);
        assert_eq!(text[0], "not ok  a/b: hung");
        assert_eq!(text[1], "    | (40 lines more in the logs)");
        assert_eq!(text.last().unwrap(), &format!("    | {}", MAX_LINES + 39));
        assert_eq!(text.len(), 2 + MAX_LINES);
    }

    #[test]
    fn a_skip_has_its_reason() {
        let text = lines("a/b", &Verdict::Skip("no KVM".into()), None);
        assert_eq!(text, ["skip    a/b: no KVM"]);
    }

    #[test]
    fn nothing_tried_is_not_good() {
        let report = Report::new(&Screen::new());
        assert!(!report.is_good());
    }
}
