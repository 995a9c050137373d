// SPDX-License-Identifier: GPL-2.0
//! The debug kernel: all on Rust without a word from it, and C for a word that it must have.

use super::{add_selftests, add_upstream, Chosen, Expected, Facts, Machine, Test, Wanted, Which};
use super::{DEBUG_MEMORY_MIB, LIFECYCLE_LIMIT_S, SELFTESTS_LIMIT_S, UPSTREAM, UPSTREAM_LIMIT_S};
use crate::parts::Parts;
use crate::paths::Kind;
use anyhow::Result;
use protocol::{Action, Side};

/// Seconds for what looks through all memory, or all of lockdep's classes.
const SCAN_LIMIT_S: u64 = 240;

/// Rust on the debug kernel, with half of our selftests: two boots take half the time. The module is
/// inserted before anything else, so that nothing that lockdep sees of Xen is C's.
pub struct DebugRust {
    /// Which half, counted from 0.
    pub half: usize,
}

/// What the tests of a whole boot end with.
const HALVES: [&str; 2] = ["first-half", "second-half"];

const GROUP_UPSTREAM: &str = "debug/upstream";
const GROUP_SELFTESTS: &str = "debug/selftests";
const REINSERT: &str = "debug/reinsert";
const KMEMLEAK: &str = "debug/kmemleak";
const LOCKDEP: &str = "debug/lockdep-saw-all";

/// The test that compares what lockdep saw with the order that is declared.
pub const LOCK_ORDER: &str = "lock-order/observed";

/// The machines with Rust on the debug kernel.
pub const DEBUG_RUST: [&str; HALVES.len()] = ["debug-rust-1", "debug-rust-2"];

impl DebugRust {
    /// The name of a test that each half has.
    fn of_half(&self, test: &str) -> String {
        format!("{test}/{}", HALVES[self.half])
    }
}

impl Machine for DebugRust {
    fn name(&self) -> &str {
        DEBUG_RUST[self.half]
    }

    fn kernel(&self) -> Which {
        Which::Main(Kind::Debug)
    }

    fn tests(&self, facts: &Facts) -> Vec<Test> {
        let mut names = Vec::new();
        if self.half == 0 {
            names.extend(UPSTREAM.map(|name| format!("{GROUP_UPSTREAM}/{name}")));
        }
        // Every other one: those of a topic take about as long as each other.
        let cases = facts.cases.iter().skip(self.half).step_by(HALVES.len());
        names.extend(cases.map(|case| format!("{GROUP_SELFTESTS}/{case}")));
        names.extend([REINSERT, KMEMLEAK, LOCKDEP].map(|test| self.of_half(test)));
        let tests = names.into_iter().map(|name| Test::on(Side::Rust, name));
        let lock_order = Test {
            wants_others: true,
            ..Test::on(Side::Rust, self.of_half(LOCK_ORDER))
        };
        tests.chain([lock_order]).collect()
    }

    fn prepare(&self, chosen: &Chosen, parts: &Parts) -> Result<Wanted> {
        let mut wanted = Wanted::new(parts, DEBUG_MEMORY_MIB)?;
        add_upstream(&mut wanted, chosen, parts, GROUP_UPSTREAM, Side::Rust)?;
        add_selftests(&mut wanted, chosen, parts, GROUP_SELFTESTS, Side::Rust)?;
        let path = "/proc/lockdep".to_owned();
        let scans = [
            (REINSERT, LIFECYCLE_LIMIT_S, Action::Reinsert { times: 1 }),
            (KMEMLEAK, SCAN_LIMIT_S, Action::Kmemleak),
            (LOCKDEP, SCAN_LIMIT_S, Action::Lockdep),
            (LOCK_ORDER, SCAN_LIMIT_S, Action::Read { path }),
        ];
        for (test, limit_s, action) in scans {
            let id = self.of_half(test);
            if chosen.has(&id) {
                wanted.step(id, None, limit_s, action);
            }
        }
        let order = (self.of_half(LOCK_ORDER), Expected::LockOrder);
        wanted.expected.push(order);
        Ok(wanted)
    }
}

/// Rust on the debug kernel with `PREEMPT_RT`: what may sleep there is more, and what a release
/// wakes.
pub struct DebugRt;

const GROUP_UPSTREAM_RT: &str = "debug-rt/upstream";
const GROUP_SELFTESTS_RT: &str = "debug-rt/selftests";
const LOCKDEP_RT: &str = "debug-rt/lockdep-saw-all";

/// What runs there: where the context matters, as each takes several times as long.
const TOPICS_RT: [&str; 6] = [
    "evtchn_send/",
    "irqfd/",
    "runstate/",
    "sched_op/",
    "slow_path/",
    "timer/",
];

impl Machine for DebugRt {
    fn name(&self) -> &str {
        "debug-rt"
    }

    fn kernel(&self) -> Which {
        Which::Main(Kind::DebugRt)
    }

    fn tests(&self, facts: &Facts) -> Vec<Test> {
        let upstream = UPSTREAM.map(|name| format!("{GROUP_UPSTREAM_RT}/{name}"));
        let cases = facts.cases.iter();
        let cases = cases
            .filter(|case| TOPICS_RT.iter().any(|topic| case.starts_with(topic)))
            .map(|case| format!("{GROUP_SELFTESTS_RT}/{case}"));
        let names = upstream.into_iter().chain(cases);
        names
            .chain([LOCKDEP_RT.to_owned()])
            .map(|name| Test::on(Side::Rust, name))
            .collect()
    }

    fn prepare(&self, chosen: &Chosen, parts: &Parts) -> Result<Wanted> {
        let mut wanted = Wanted::new(parts, DEBUG_MEMORY_MIB)?;
        add_upstream(&mut wanted, chosen, parts, GROUP_UPSTREAM_RT, Side::Rust)?;
        add_selftests(&mut wanted, chosen, parts, GROUP_SELFTESTS_RT, Side::Rust)?;
        if chosen.has(LOCKDEP_RT) {
            wanted.step(LOCKDEP_RT, None, SCAN_LIMIT_S, Action::Lockdep);
        }
        Ok(wanted)
    }
}

/// Each allocation fails once, and nothing is left behind.
pub struct Failures;

const GROUP_FAILURES: &str = "debug/selftests";
const KMEMLEAK_OF_FAILURES: &str = "debug/kmemleak-of-failing-allocations";

impl Machine for Failures {
    fn name(&self) -> &str {
        "debug-failures"
    }

    fn kernel(&self) -> Which {
        Which::Main(Kind::Debug)
    }

    fn tests(&self, facts: &Facts) -> Vec<Test> {
        let cases = facts.failing_allocations.iter();
        let cases = cases.map(|case| format!("{GROUP_FAILURES}/{case}"));
        let names = cases.chain([KMEMLEAK_OF_FAILURES.to_owned()]);
        names.map(|name| Test::on(Side::Rust, name)).collect()
    }

    fn prepare(&self, chosen: &Chosen, parts: &Parts) -> Result<Wanted> {
        let mut wanted = Wanted::new(parts, DEBUG_MEMORY_MIB)?;
        let cases = chosen.in_group(GROUP_FAILURES);
        if !cases.is_empty() {
            let flags = ["--failing-allocations"];
            let exec = parts.selftests(&mut wanted.initramfs, &flags, &cases)?;
            let limit_s = SELFTESTS_LIMIT_S * parts.kernel.patience();
            wanted.step(
                GROUP_FAILURES,
                Some(Side::Rust),
                limit_s,
                Action::Exec(exec),
            );
        }
        if chosen.has(KMEMLEAK_OF_FAILURES) {
            wanted.step(KMEMLEAK_OF_FAILURES, None, SCAN_LIMIT_S, Action::Kmemleak);
        }
        Ok(wanted)
    }
}

/// C on the debug kernel, which must tell of what is known: or its silence on Rust would prove
/// nothing.
pub struct DebugC;

const SLEEPING_LOCK: &str = "debug/c-takes-a-sleeping-lock-in-the-timer";

impl Machine for DebugC {
    fn name(&self) -> &str {
        "debug-c"
    }

    fn kernel(&self) -> Which {
        Which::Main(Kind::Debug)
    }

    fn tests(&self, _: &Facts) -> Vec<Test> {
        vec![Test::on(Side::C, SLEEPING_LOCK.into())]
    }

    fn prepare(&self, _: &Chosen, parts: &Parts) -> Result<Wanted> {
        let mut wanted = Wanted::new(parts, DEBUG_MEMORY_MIB)?;
        let exec = parts.upstream(&mut wanted.initramfs, "xen_shinfo_test")?;
        let limit_s = UPSTREAM_LIMIT_S * parts.kernel.patience();
        wanted.step(SLEEPING_LOCK, Some(Side::C), limit_s, Action::Exec(exec));
        let report =
            Expected::Report(&["Invalid wait context", "&gpc->lock", "xen_timer_callback"]);
        wanted.expected.push((SLEEPING_LOCK.into(), report));
        Ok(wanted)
    }
}
