// SPDX-License-Identifier: GPL-2.0
//! What came of a patch.

use super::machine::{Seen, Shown, UPSTREAM};
use super::patch::Patch;
use crate::klog::Splat;
use crate::report::Verdict;

/// What C is known to have reported of it in any boot in which a timer fires, unless that is what
/// the patch is for: words that the report has.
const OF_THE_TIMER: [&str; 2] = ["Invalid wait context", "xen_timer_callback"];

/// The same, as `PREEMPT_RT` has it where lockdep has turned itself off.
const OF_THE_TIMER_UNDER_RT: [&str; 2] = ["sleeping function called", "xen_timer_callback"];

/// What C reports under `PREEMPT_RT` of `KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_CURRENT`, which leaves
/// interrupts off (c-bugs.rst).
const UNDER_RT: [&str; 2] = ["include/linux/entry-common.h", " PREEMPT_RT"];

/// What the patch that has to silence that says of why it has no reproducer.
const RT_ALONE: &str = "PREEMPT_RT alone";

/// The reproducer whose patch has to silence that of the timer.
const TIMER: &str = "timer-in-hard-interrupt";

/// A patch, and what came of it.
pub struct Tried {
    /// The patch.
    pub patch: Patch,
    /// Whether it applies.
    pub applies: Verdict,
    /// What checkpatch thinks.
    pub checkpatch: Verdict,
    /// Its reproducers, in the order of the patch: on C as it is, on C with it, and on Rust.
    pub reproducers: Vec<[Seen; 3]>,
    /// Upstream's tests with it, and what the kernel reported; none where it touches no code.
    pub upstream: Option<Vec<Seen>>,
    /// What the kernel has reported with it that it should not.
    pub splats: Vec<Splat>,
    /// How often `xen_shinfo_test` was run again, as C had lost its timer.
    pub again: usize,
}

impl Tried {
    /// From what was seen without it, on Rust, and with it.
    pub fn new(
        patch: Patch,
        [applies, checkpatch]: [Verdict; 2],
        before: &Shown,
        rust: Option<&Shown>,
        after: Option<&Shown>,
    ) -> Self {
        let none = || Seen::Unclear("it was not run".into());
        let of =
            |shown: Option<&Shown>, name: &str| shown.map_or_else(none, |shown| shown.of(name));
        let names = patch.reproducers.iter();
        let reproducers = names.map(|name| [before.of(name), of(after, name), of(rust, name)]);
        let is_for_the_timer = patch.reproducers.iter().any(|name| name == TIMER);
        let is_for_rt = patch
            .without
            .as_ref()
            .is_some_and(|why| why.starts_with(RT_ALONE));
        let known = [
            (OF_THE_TIMER, is_for_the_timer),
            (OF_THE_TIMER_UNDER_RT, is_for_the_timer),
            (UNDER_RT, is_for_rt),
        ];
        let known = known.into_iter().filter(|(_, is_for_it)| !is_for_it);
        let known: Vec<_> = known.map(|(words, _)| words).collect();
        let is_known = |splat: &&Splat| {
            let has = |word: &&str| splat.lines.iter().any(|line| line.contains(*word));
            known.iter().any(|words| words.iter().all(&has))
        };
        let splats = after.into_iter().flat_map(|shown| &shown.splats);
        Tried {
            applies,
            checkpatch,
            reproducers: reproducers.collect(),
            upstream: after.map(|shown| UPSTREAM.map(|test| shown.of(test)).into()),
            splats: splats.filter(|splat| !is_known(splat)).cloned().collect(),
            again: 0,
            patch,
        }
    }

    /// What is not as it has to be, in lines.
    pub fn wrong(&self) -> Vec<String> {
        let name = &self.patch.name;
        let mut wrong = Vec::new();
        for verdict in [&self.applies, &self.checkpatch] {
            if let Verdict::NotOk(why, _) = verdict {
                wrong.push(format!("{name}: {why}"));
            }
        }
        for (reproducer, [before, after, rust]) in
            self.patch.reproducers.iter().zip(&self.reproducers)
        {
            for (when, seen, wanted) in [
                ("without it", before, Seen::Wrong),
                ("with it", after, Seen::Right),
                ("on Rust", rust, Seen::Right),
            ] {
                if *seen != wanted {
                    wrong.push(format!(
                        "{name}: {reproducer} {seen} {when}, and should be: {wanted}"
                    ));
                }
            }
        }
        for (test, seen) in UPSTREAM.iter().zip(self.upstream.iter().flatten()) {
            if *seen != Seen::Right {
                wrong.push(format!("{name}: {test} {seen} with it"));
            }
        }
        for splat in &self.splats {
            let first = splat.lines.iter().find(|line| !line.starts_with("====="));
            let first = first.map_or("nothing", String::as_str);
            wrong.push(format!("{name}: the kernel reports with it: {first}"));
        }
        wrong
    }

    /// Its row of the table.
    pub fn cells(&self) -> [String; 9] {
        let patch = &self.patch;
        let names = patch.reproducers.iter().map(|name| format!("``{name}``"));
        let names: Vec<String> = names.collect();
        let column = |at: usize| each(self.reproducers.iter().map(|seen| &seen[at]));
        let upstream = self.upstream.as_ref();
        [
            format!("``{}``", patch.name),
            match &patch.bug {
                Some(bug) => format!("`{bug} <c-bugs.rst>`__"),
                None => "none".into(),
            },
            match &patch.without {
                Some(why) => format!("none: {why}"),
                None => names.join(", "),
            },
            column(0),
            column(1),
            column(2),
            match (upstream.map(|seen| each(seen.iter())), self.again) {
                (None, _) => "not run".into(),
                (Some(seen), 0) => seen,
                (Some(seen), again) => format!("{seen}, after {again} without the timer's event"),
            },
            match &self.checkpatch {
                Verdict::Ok => "clean".into(),
                Verdict::Skip(why) | Verdict::NotOk(why, _) => why.clone(),
            },
            format!("{}; {}", patch.series.join(", "), patch.cost),
        ]
    }
}

/// One word for all that are the same.
fn each<'a>(seen: impl Iterator<Item = &'a Seen>) -> String {
    let mut words: Vec<String> = seen.map(Seen::to_string).collect();
    words.dedup();
    words.join(", ")
}

#[cfg(test)]
pub mod tests {
    use super::super::patch::tests::patch;
    use super::*;
    use protocol::Side;

    fn shown(seen: Seen, line: &str) -> Shown {
        let programs = ["one", "two", UPSTREAM[0], UPSTREAM[1]];
        let lines = vec![
            "=====".to_owned(),
            line.to_owned(),
            "xen_timer_callback".to_owned(),
        ];
        let splat = Splat {
            step: None,
            side: Side::C,
            lines,
        };
        Shown {
            programs: programs.map(|name| (name.to_owned(), seen.clone())).into(),
            splats: if line.is_empty() {
                Vec::new()
            } else {
                vec![splat]
            },
            log: String::new(),
        }
    }

    /// A patch that does what it is for.
    pub fn tried() -> Tried {
        of(patch(), Seen::Wrong, Seen::Right, "")
    }

    fn of(patch: Patch, before: Seen, after: Seen, line: &str) -> Tried {
        let rust = shown(Seen::Right, "");
        Tried::new(
            patch,
            [Verdict::Ok, Verdict::Ok],
            &shown(before, ""),
            Some(&rust),
            Some(&shown(after, line)),
        )
    }

    #[test]
    fn a_reproducer_fails_before_and_passes_after() {
        assert_eq!(tried().wrong(), [""; 0]);
        let wrong = of(patch(), Seen::Right, Seen::Right, "").wrong();
        assert_eq!(
            wrong[0],
            "do-it: one passes without it, and should be: fails"
        );
        let wrong = of(patch(), Seen::Wrong, Seen::Wrong, "").wrong();
        assert_eq!(
            wrong.len(),
            4,
            "two reproducers and upstream's two tests: {wrong:?}"
        );
    }

    #[test]
    fn what_the_kernel_reports_counts() {
        let wrong = of(patch(), Seen::Wrong, Seen::Right, "BUG: something").wrong();
        assert_eq!(wrong, ["do-it: the kernel reports with it: BUG: something"]);
        let timer = "[ BUG: Invalid wait context ]";
        assert_eq!(
            of(patch(), Seen::Wrong, Seen::Right, timer).wrong(),
            [""; 0]
        );
        let off = "WARNING: ./include/linux/entry-common.h:292 at do_syscall_64";
        let of_rt = |more: &str| of(patch(), Seen::Wrong, Seen::Right, &format!("{off}{more}"));
        assert_eq!(of_rt(" #1 PREEMPT_RT").wrong(), [""; 0]);
        assert_eq!(of_rt("").wrong().len(), 1);
        let mut of_it = patch();
        of_it.without = Some(format!("{RT_ALONE}: it warns"));
        let line = format!("{off} #1 PREEMPT_RT");
        assert_eq!(of(of_it, Seen::Wrong, Seen::Right, &line).wrong().len(), 1);
        let mut of_it = patch();
        of_it.reproducers[0] = TIMER.into();
        let wrong = of(of_it, Seen::Wrong, Seen::Right, timer).wrong();
        assert!(wrong
            .iter()
            .any(|line| line.contains("Invalid wait context")));
    }

    #[test]
    fn a_row_has_what_was_seen() {
        let mut tried = tried();
        tried.reproducers[1][0] = Seen::Skipped("no".into());
        let cells = tried.cells();
        assert_eq!(cells[2], "``one``, ``two``");
        assert_eq!(
            cells[3..7],
            ["fails, skipped: no", "passes", "passes", "passes"]
        );
        assert_eq!(cells[8], "7.2, 7.3; a word");
        tried.again = 2;
        assert_eq!(
            tried.cells()[6],
            "passes, after 2 without the timer's event"
        );
    }
}
