// SPDX-License-Identifier: GPL-2.0
//! What was tried, kind by kind: the table at the end of `check`.

use crate::report::Verdict;
use crate::select::of_kernel;
use crate::table::{number, table, Align};
use protocol::Tried;
use std::collections::BTreeMap;

/// Tests that are of one kind.
struct Kind {
    title: &'static str,
    /// What their names begin with.
    prefixes: &'static [&'static str],
    /// What no others count: a program may have tests of several kinds.
    counts: Option<&'static str>,
}

/// The kinds, in the order of the table. A test is of the first that it fits.
const KINDS: &[Kind] = &[
    kind("random sequences, C against Rust", &["fuzz/"]),
    kind("storms", &["storm/"]),
    kind("storms, debug kernel", &["debug/storm/"]),
    kind("takeover under load", &["takeover/", "debug/takeover/"]),
    Kind {
        title: "failing allocations",
        prefixes: &[
            "debug/selftests/failing_allocations/",
            "debug/kmemleak-of-failing-allocations",
        ],
        counts: Some("allocations"),
    },
    kind("migration", &["guest/migration/"]),
    kind("interleavings, by loom", &["host/races/tests::"]),
    kind("the sample VMM", &["samples/hello-xen/"]),
    kind("lock order broken on purpose", &["samples/"]),
    kind("module broken on purpose", &["alarms/"]),
    kind("Xen guests", &["guest/", "debug/xen-hvm"]),
    kind("upstream's tests", &["upstream/", "debug/upstream/"]),
    kind("selftests on C", &["selftests/c/"]),
    kind("selftests on Rust", &["selftests/rust/"]),
    kind("selftests on Rust, debug kernel", &["debug/selftests/"]),
    kind("kernel logs, without a complaint", &["klog/"]),
    kind("logic alone, on the host", &["host/"]),
    kind("all else", &[""]),
];

const fn kind(title: &'static str, prefixes: &'static [&'static str]) -> Kind {
    Kind {
        title,
        prefixes,
        counts: None,
    }
}

/// Counts of one sort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Those that failed among them.
    pub tried: u64,
    pub failed: u64,
    pub skipped: u64,
}

/// Sums, kind by kind.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    tests: BTreeMap<Of, Counts>,
    /// What the tests themselves counted: by kind, and what it is.
    within: BTreeMap<(Of, String), Counts>,
}

/// Of which kind a test is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Of {
    /// By index into [`KINDS`].
    Kind(usize),
    /// Those on another kernel are of one kind.
    Kernel(String),
}

impl Of {
    fn new(name: &str) -> Self {
        match of_kernel(name) {
            (Some(kernel), _) => Of::Kernel(kernel.to_owned()),
            (None, name) => Of::Kind(index(name)),
        }
    }

    fn title(&self) -> String {
        match self {
            Of::Kind(index) => KINDS[*index].title.to_owned(),
            Of::Kernel(kernel) => format!("a part of it on {kernel}"),
        }
    }
}

impl Tally {
    /// Takes the result of a test.
    pub fn add(&mut self, name: &str, verdict: &Verdict) {
        let counts = self.tests.entry(Of::new(name)).or_default();
        match verdict {
            Verdict::Ok => counts.tried += 1,
            Verdict::Skip(_) => counts.skipped += 1,
            Verdict::NotOk(..) => {
                counts.tried += 1;
                counts.failed += 1;
            }
        }
    }

    /// Takes a line of a test's output, which may tell of things tried. `step` is the test, or what
    /// its name begins with.
    pub fn take_line(&mut self, step: &str, line: &str) {
        if let Ok(tried) = line.parse::<Tried>() {
            let counts_it = |kind: &Kind| kind.counts == Some(tried.what.as_str());
            let of = KINDS.iter().position(counts_it);
            let of = match (of_kernel(step), of) {
                ((None, _), Some(index)) => Of::Kind(index),
                _ => Of::new(&format!("{step}/")),
            };
            let counts = self.within.entry((of, tried.what)).or_default();
            counts.tried += tried.count;
            counts.failed += tried.failed;
        }
    }

    /// All tests together.
    pub fn total(&self) -> Counts {
        let add = |a: Counts, b: &Counts| Counts {
            tried: a.tried + b.tried,
            failed: a.failed + b.failed,
            skipped: a.skipped + b.skipped,
        };
        self.tests.values().fold(Counts::default(), add)
    }

    /// The table.
    pub fn lines(&self) -> Vec<String> {
        let columns = [
            ("what", Align::Left),
            ("tried", Align::Right),
            ("failed", Align::Right),
            ("skipped", Align::Right),
        ];
        let row = |title: String, counts: &Counts| {
            let skipped = match counts.skipped {
                0 => String::new(),
                n => number(n),
            };
            vec![title, number(counts.tried), number(counts.failed), skipped]
        };
        let mut rows = Vec::new();
        for (kind, counts) in &self.tests {
            rows.push(row(kind.title(), counts));
            let within = self.within.iter().filter(|((of, _), _)| of == kind);
            rows.extend(within.map(|((_, what), counts)| row(format!("  {what}"), counts)));
        }
        table(&columns, &rows)
    }
}

fn index(name: &str) -> usize {
    let fits = |kind: &Kind| kind.prefixes.iter().any(|prefix| name.starts_with(prefix));
    let index = KINDS.iter().position(fits);
    index.expect("the last kind fits all names")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_of_the_first_kind_that_it_fits() {
        let title = |name: &str| KINDS[index(name)].title;
        assert_eq!(title("debug/storm/ports"), "storms, debug kernel");
        assert_eq!(title("host/races/tests::poll::x"), "interleavings, by loom");
        assert_eq!(title("host/races/abi::x"), "logic alone, on the host");
        assert_eq!(
            title("debug/selftests/failing_allocations/send/64bit"),
            "failing allocations"
        );
        assert_eq!(title("guest/migration/c-to-rust"), "migration");
        assert_eq!(title("modinfo/name"), "all else");
    }

    #[test]
    fn what_only_one_kind_counts_is_its_own() {
        let mut tally = Tally::default();
        let name = "debug/selftests/failing_allocations/send/64bit";
        tally.add(name, &Verdict::Ok);
        tally.add("debug/selftests/ports/x", &Verdict::Ok);
        tally.take_line("debug/selftests", "# tried: 7 allocations, 0 failed");
        let lines = tally.lines();
        let titles: Vec<_> = lines[2..]
            .iter()
            .map(|line| line.split_whitespace().next().unwrap())
            .collect();
        assert_eq!(titles, ["failing", "allocations", "selftests"]);
    }

    #[test]
    fn sums() {
        let mut tally = Tally::default();
        let bad = Verdict::NotOk("lost".into(), Vec::new());
        tally.add("storm/ring", &Verdict::Ok);
        tally.add("storm/ports", &bad);
        tally.add("storm/pages", &Verdict::Skip("no KVM".into()));
        tally.take_line("storm", "# tried: 1000 events, 0 failed");
        tally.take_line("storm", "# tried: 2000 events, 1 failed");
        tally.take_line("storm", "# sent 1000");
        let lines = tally.lines();
        assert_eq!(lines.len(), 4, "{lines:?}");
        let words = |n: usize| lines[n].split_whitespace().collect::<Vec<_>>();
        assert_eq!(words(2), ["storms", "2", "1", "1"]);
        assert_eq!(words(3), ["events", "3,000", "1"]);
    }
}
