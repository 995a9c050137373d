// SPDX-License-Identifier: GPL-2.0
//! Shows one bug of KVM's C (Documentation/c-bugs.rst), on the kernel that runs here.

mod bugs;

use bugs::{Bug, BUGS};
use clap::Parser;
use harness::child::{self, Verdict};
use selftests::case::{expand, Case};
use selftests::cases;
use selftests::obstacle::obstacle;
use std::io::{self, stdout, Write};
use std::process::ExitCode;
use std::time::Duration;

/// What it came to, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    /// What a right kernel does.
    Right,
    /// Nothing: it can't be tried here.
    Skipped,
    /// Something else, so that there is nothing to be said.
    Unclear,
    /// The bug.
    Bug,
}

impl Seen {
    /// The exit status; 2 is clap's, for wrong usage.
    fn status(self) -> u8 {
        match self {
            Seen::Right => 0,
            Seen::Bug => 1,
            Seen::Unclear => 3,
            Seen::Skipped => 4,
        }
    }

    fn says(self) -> &'static str {
        match self {
            Seen::Right => "right",
            Seen::Bug => "the bug is here",
            Seen::Unclear => "something else went wrong, which says nothing of the bug",
            Seen::Skipped => "skipped",
        }
    }
}

/// Shows one bug of KVM's Xen support on the kernel that runs here.
///
/// Needs /dev/kvm, and reads the kernel's log where that is where the bug shows. Prints what it saw
/// and what a right kernel does. Exits with 0 where the kernel does right, 1 where it has the bug, 2
/// for wrong usage, 3 where something else went wrong, and 4 where it can't be tried.
#[derive(Parser)]
#[command(name = "kvm-xen-repro", version)]
struct Options {
    /// The bug
    #[arg(value_name = "NAME", required_unless_present = "list", value_parser = known)]
    bug: Option<&'static Bug>,

    /// Print the names of all, with what a right kernel does, and exit
    #[arg(short, long)]
    list: bool,

    /// Seconds that each case may take
    #[arg(short, long, default_value_t = 20, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
}

fn known(name: &str) -> Result<&'static Bug, String> {
    bugs::find(name).ok_or_else(|| "no bug has such a name; --list shows them all".into())
}

fn main() -> ExitCode {
    let options = Options::parse();
    let told = match options.bug {
        Some(bug) if !options.list => show(bug, Duration::from_secs(options.timeout)),
        _ => list().map(|()| Seen::Right),
    };
    match told {
        Ok(seen) => ExitCode::from(seen.status()),
        Err(error) => {
            eprintln!("kvm-xen-repro: writing results: {error}");
            ExitCode::from(Seen::Unclear.status())
        }
    }
}

fn list() -> io::Result<()> {
    for bug in BUGS {
        writeln!(stdout(), "{}: {}", bug.name, bug.right)?;
    }
    Ok(())
}

/// Tries it, and tells.
fn show(bug: &Bug, limit: Duration) -> io::Result<Seen> {
    let mut out = stdout();
    writeln!(out, "{}", bug.name)?;
    writeln!(out, "who can do this: {}", bug.who)?;
    writeln!(out, "a right kernel: {}", bug.right)?;
    let mut worst = Seen::Right;
    if let Some(reason) = obstacle() {
        writeln!(out, "{reason}")?;
        worst = Seen::Skipped;
    } else {
        for case in cases_of(bug) {
            // The case's process writes, too.
            out.flush()?;
            let (seen, what) = judge(child::run(&|| case.run(), limit));
            writeln!(out, "{}: {what}", case.name)?;
            worst = worst.max(seen);
        }
    }
    writeln!(out, "this kernel: {}", worst.says())?;
    Ok(worst)
}

/// The cases that show it, in each word size.
fn cases_of(bug: &Bug) -> Vec<Case> {
    let topics = [cases::TOPICS, cases::WITH_LOCKDEP].concat();
    let all = expand(&topics).into_iter();
    all.filter(|case| bug.cases.iter().any(|name| is_of(name, &case.name)))
        .collect()
}

/// Whether `case` is the one of this name, in either word size.
fn is_of(name: &str, case: &str) -> bool {
    case.strip_prefix(name)
        .is_some_and(|rest| matches!(rest, "" | "/32bit" | "/64bit"))
}

/// What a case's end says of the bug. A hang or a crash of the case itself says nothing.
fn judge(verdict: Verdict) -> (Seen, String) {
    match verdict {
        Verdict::Pass => (Seen::Right, "as it should be".into()),
        Verdict::Skip(reason) => (Seen::Skipped, reason),
        Verdict::Fail(text) => match Verdict::Fail(text.clone()).turned() {
            Verdict::Pass => (Seen::Bug, text),
            _ => (Seen::Unclear, text),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
        assert!(Options::try_parse_from(["kvm-xen-repro", "no-such-bug"]).is_err());
        assert!(Options::try_parse_from(["kvm-xen-repro"]).is_err());
    }

    #[test]
    fn each_bug_has_its_cases_and_each_of_them_has_to_fail_on_c() {
        for bug in BUGS {
            for name in bug.cases {
                let cases = cases_of(bug);
                let mut of = cases.iter().filter(|case| is_of(name, &case.name));
                assert!(of.clone().next().is_some(), "{}: no case {name}", bug.name);
                assert!(of.all(|case| case.better_in_rust.is_some()), "{name}");
            }
        }
    }

    #[test]
    fn names_are_unlike() {
        let mut names: Vec<_> = BUGS.iter().map(|bug| bug.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), BUGS.len());
    }

    #[test]
    fn a_hang_says_nothing() {
        let of = |text: &str| judge(Verdict::Fail(text.into())).0;
        assert_eq!(of("pending is false, should be true"), Seen::Bug);
        assert_eq!(of("not done within 20 s"), Seen::Unclear);
        assert_eq!(judge(Verdict::Pass).0, Seen::Right);
        assert_eq!(judge(Verdict::Skip("no".into())).0, Seen::Skipped);
    }

    #[test]
    fn the_worst_counts() {
        let all = [Seen::Bug, Seen::Right, Seen::Skipped, Seen::Unclear];
        assert_eq!(all.into_iter().max(), Some(Seen::Bug));
        assert_eq!(all.map(Seen::status), [1, 0, 4, 3]);
    }
}
