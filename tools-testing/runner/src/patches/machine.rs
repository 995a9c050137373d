// SPDX-License-Identifier: GPL-2.0
//! A boot in which bugs are shown, or not.

use crate::accel::Engine;
use crate::boot::{self, Boot, Ended};
use crate::klog::{self, Splat};
use crate::parts::{pack, Parts};
use crate::progress::Screen;
use crate::record::{self, StepRecord};
use anyhow::{Context, Result};
use protocol::{Action, Event, ExecAction, Outcome, Output, Side, Step};
use std::fmt;

/// Upstream's tests of KVM's Xen code.
pub const UPSTREAM: [&str; 2] = ["xen_shinfo_test", "xen_vmcall_test"];

/// Seconds that one of upstream's tests may take, on a stock kernel.
const UPSTREAM_LIMIT_S: u64 = 30;

/// Seconds that one reproducer may take, on a stock kernel: each of its cases has a limit, too.
const REPRO_LIMIT_S: u64 = 90;

/// Seconds that a case of a reproducer may take, on a stock kernel.
const CASE_LIMIT_S: u64 = 20;

/// KASAN has memory of its own.
const MEMORY_MIB: u32 = 1536;

/// How the end of a program reads whose exit status is that of a bug which is there.
const BUG: &str = "ended with status 1";

/// How the end of a program begins that is stopped.
const OVERDUE: &str = "has not ended within";

/// What came of one program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// What a right kernel does.
    Right,
    /// The bug, or an upstream's test that fails.
    Wrong,
    /// It can't be tried, and why.
    Skipped(String),
    /// Nothing to go by, and why.
    Unclear(String),
}

impl Seen {
    fn of(record: Option<&StepRecord>) -> Self {
        match record.and_then(|record| record.outcome.as_ref()) {
            Some(Outcome::Ok) => Seen::Right,
            Some(Outcome::Failed { reason }) if reason == BUG => Seen::Wrong,
            Some(Outcome::Failed { reason }) => Seen::Unclear(reason.clone()),
            Some(Outcome::Skip { reason }) => Seen::Skipped(reason.clone()),
            None => Seen::Unclear("the machine did not live to tell".into()),
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Seen::Right => f.write_str("passes"),
            Seen::Wrong => f.write_str("fails"),
            Seen::Skipped(why) => write!(f, "skipped: {why}"),
            Seen::Unclear(why) => write!(f, "unclear: {why}"),
        }
    }
}

/// What one boot is for.
pub struct Wanted<'a> {
    /// Names its logs.
    pub name: &'a str,
    /// What the machine is made of.
    pub parts: &'a Parts<'a>,
    /// Who is in charge.
    pub side: Side,
    /// The bugs to be shown, by the names of `kvm-xen-repro`.
    pub reproducers: &'a [String],
    /// Whether upstream's tests run, too.
    pub upstream: bool,
    /// What the kernel's command line has besides the usual.
    pub append: &'a str,
}

/// What came of it.
pub struct Shown {
    /// Each program, by its name.
    pub programs: Vec<(String, Seen)>,
    /// What the kernel has reported.
    pub splats: Vec<Splat>,
    /// All that it has said.
    pub log: String,
}

impl Shown {
    /// Whether upstream's test sleeps on: it polls for a timer's event while `shared_info` comes and
    /// goes, and C loses one now and then (c-bugs.rst).
    pub fn lost_the_timer(&self) -> bool {
        matches!(self.of(UPSTREAM[0]), Seen::Unclear(why) if why.starts_with(OVERDUE))
    }

    /// What came of that program.
    pub fn of(&self, program: &str) -> Seen {
        let found = self.programs.iter().find(|(name, _)| name == program);
        found.map_or(Seen::Unclear("it was not run".into()), |(_, seen)| {
            seen.clone()
        })
    }
}

/// Boots, and runs the programs one after the other.
pub fn run(
    wanted: &Wanted,
    engine: &Engine,
    screen: &Screen,
    limit_s: Option<u64>,
) -> Result<Shown> {
    let Wanted {
        parts, reproducers, ..
    } = wanted;
    let (mut initramfs, mut plan) = parts.machine()?;
    let patience = parts.kernel.patience();
    let mut step = |id: &str, limit_s: u64, exec: ExecAction| {
        plan.steps.push(Step {
            id: id.to_owned(),
            side: Some(wanted.side),
            limit_s: limit_s * patience,
            action: Action::Exec(exec),
        });
    };
    for name in *reproducers {
        let path = "/tests/kvm-xen-repro".to_owned();
        initramfs.stripped(&path, parts.program("kvm-xen-repro")?)?;
        let argv = vec![
            path,
            format!("--timeout={}", CASE_LIMIT_S * patience),
            name.clone(),
        ];
        step(
            name,
            REPRO_LIMIT_S,
            ExecAction {
                argv,
                output: Output::Text,
                flaws: Vec::new(),
            },
        );
    }
    for test in UPSTREAM.iter().filter(|_| wanted.upstream) {
        let exec = parts.upstream(&mut initramfs, test)?;
        step(test, UPSTREAM_LIMIT_S, exec);
    }
    let packed = pack(initramfs, &plan, screen);
    let mut boot = Boot {
        name: wanted.name,
        engine,
        accel: engine.accel,
        kernel: &parts.kernel,
        append: wanted.append,
        smp: 2,
        memory_mib: MEMORY_MIB,
        initramfs: packed,
        plan: &plan,
        limit_s,
        terminal: None,
    };
    let running = screen.step(format!("Machine {}", wanted.name));
    let ended = boot::run(&mut boot, &parts.paths.logs, &mut |event| {
        if let Event::Begin { id } = event {
            running.note(id.as_str());
        }
    })
    .with_context(|| format!("machine {}", wanted.name))?;
    running.done("");
    Ok(shown(
        &ended,
        plan.steps.iter().map(|step| step.id.as_str()),
    ))
}

fn shown<'a>(ended: &Ended, ids: impl Iterator<Item = &'a str>) -> Shown {
    let records = record::steps(&ended.events);
    let programs = ids.map(|id| {
        let record = records.iter().find(|record| record.id == id);
        (id.to_owned(), Seen::of(record))
    });
    Shown {
        programs: programs.collect(),
        splats: klog::splats(&ended.kernel_log),
        log: ended.kernel_log.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_hang_of_upstreams_test_is_a_lost_timer_and_nothing_else_is() {
        let of = |name: &str, seen| Shown {
            programs: vec![(name.to_owned(), seen)],
            splats: Vec::new(),
            log: String::new(),
        };
        let hang = || Seen::Unclear("has not ended within its 120 s".into());
        assert!(of("xen_shinfo_test", hang()).lost_the_timer());
        assert!(!of("xen_vmcall_test", hang()).lost_the_timer());
        assert!(!of("xen_shinfo_test", Seen::Wrong).lost_the_timer());
        assert!(!of("xen_shinfo_test", Seen::Unclear("died".into())).lost_the_timer());
    }

    #[test]
    fn a_bug_is_a_status_and_no_other_end() {
        let of = |outcome: Option<Outcome>| {
            Seen::of(Some(&StepRecord {
                id: "x".into(),
                outcome,
                took: Duration::ZERO,
                output: Vec::new(),
                guest_kernel: Vec::new(),
            }))
        };
        let failed = |reason: &str| {
            of(Some(Outcome::Failed {
                reason: reason.into(),
            }))
        };
        assert_eq!(of(Some(Outcome::Ok)), Seen::Right);
        assert_eq!(failed("ended with status 1"), Seen::Wrong);
        for reason in [
            "ended with status 3",
            "ended with status 11",
            "was killed by SIGABRT",
        ] {
            assert_eq!(failed(reason), Seen::Unclear(reason.into()));
        }
        assert!(matches!(of(None), Seen::Unclear(_)));
        assert!(matches!(Seen::of(None), Seen::Unclear(_)));
    }
}
