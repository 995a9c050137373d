// SPDX-License-Identifier: GPL-2.0
//! The machines that tests run in: each says what its tests are called, and how to run some.

mod beside;
mod debug;
mod expected;
mod fuzz;
mod guest;
mod guest_setups;
mod migration;
mod neighbours;
mod refused;
mod samples;
mod short;
mod storm;

use crate::initramfs::Initramfs;
use crate::parts::Parts;
use crate::paths::{Kernel, Kind};
use anyhow::Result;
use protocol::{Action, MachinePlan, Side, Step};

pub use debug::{DEBUG_RUST, LOCK_ORDER};
pub use expected::Expected;

use beside::beside;
use guest::Guest;
use samples::Mistake;
use storm::{HostCpu, Storms, Takeover};

/// Those that take minutes, longest first: a few run at a time.
const LONG: [&dyn Machine; 16] = [
    &fuzz::Fuzz { sequences: None },
    &Takeover { kind: Kind::Stock },
    &guest::Takeover,
    &Storms { kind: Kind::Debug },
    &Storms {
        kind: Kind::DebugRt,
    },
    &Storms { kind: Kind::Stock },
    &short::Short,
    &debug::DebugRust { half: 0 },
    &debug::DebugRust { half: 1 },
    &debug::DebugRt,
    &Guest {
        machine: "xen-guest-debug",
        test: "debug/xen-hvm",
        smp: 2,
        sides: &[Side::Rust],
        rounds: 2,
        kind: Kind::Debug,
    },
    &migration::Migration,
    &guest_setups::GuestSetups,
    &neighbours::Neighbours,
    &HostCpu,
    &refused::Refused,
];

/// Those that take less, and fill what time is left to others.
const SHORT: [&dyn Machine; 13] = [
    &Guest {
        machine: "xen-guest",
        test: "guest/xen-hvm",
        smp: 2,
        sides: &[Side::Rust, Side::C, Side::Rust],
        rounds: 5,
        kind: Kind::Stock,
    },
    &Guest {
        machine: "xen-guest-4",
        test: "guest/xen-hvm-4-vcpus",
        smp: 4,
        sides: &[Side::Rust],
        rounds: 5,
        kind: Kind::Stock,
    },
    &Guest {
        machine: "xen-guest-4-debug",
        test: "debug/xen-hvm-4-vcpus",
        smp: 4,
        sides: &[Side::Rust],
        rounds: 2,
        kind: Kind::Debug,
    },
    &Takeover { kind: Kind::Debug },
    &debug::Failures,
    &debug::DebugC,
    &samples::Control,
    &samples::Blind,
    &Mistake("kvm_lock_inside_srcu"),
    &Mistake("kvm_lock_inside_vcpu_mutex"),
    &Mistake("synchronize_under_xen_lock"),
    &Mistake("slots_lock_inside_srcu"),
    &Mistake("gpc_lock_blocking_in_timer"),
];

/// Those that are no part of everything, but only run where their tests are asked for.
pub const ONLY_IF_ASKED: [&str; 2] = [
    // Its timer ticks are more than an emulated debug kernel gets done on a busy host.
    "xen-guest-4-debug",
    // Most of what it does is to wait for ftrace.
    "takeover-debug",
];

/// The machines of all tests: those above, and those of other kernels between them.
pub fn all(kernels: &[(String, Kernel)]) -> Vec<&'static dyn Machine> {
    let machines = LONG.into_iter().chain(beside(kernels));
    machines.chain(SHORT).collect()
}

/// Groups of tests that are left out where the kernel has `PREEMPT_RT`: they leave timers, or pages
/// that come and go, to C.
pub const LEFT_OUT_UNDER_RT: [&str; 3] = ["selftests/c", "guest/migration", "takeover/xen-hvm"];

/// KASAN and kmemleak have memory of their own.
const DEBUG_MEMORY_MIB: u32 = 1536;

/// What a machine of that kernel has in addition.
fn debug_memory_mib(parts: &Parts) -> u32 {
    match parts.kernel.is_debug() {
        true => DEBUG_MEMORY_MIB,
        false => 0,
    }
}

/// A kernel that machines boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Which {
    /// The one that was asked for, or one of its source.
    Main(Kind),
    /// A stock kernel beside it, by its place in the group.
    Beside(usize),
}

impl Which {
    /// Whether it looks for mistakes.
    pub fn is_debug(self) -> bool {
        !matches!(self, Which::Main(Kind::Stock) | Which::Beside(_))
    }
}

/// A machine, booted once for all of its tests.
pub trait Machine: Sync {
    /// Names it, and its logs.
    fn name(&self) -> &str;

    /// What the test of its kernel's log is called.
    fn klog(&self) -> String {
        format!("klog/{}", self.name())
    }

    /// Which kernel it boots.
    fn kernel(&self) -> Which {
        Which::Main(Kind::Stock)
    }

    /// Processors.
    fn smp(&self) -> u32 {
        2
    }

    /// What the kernel's command line has besides the usual.
    fn append(&self) -> &'static str {
        ""
    }

    /// All of its tests. Those that want our module are left out where there is none.
    fn tests(&self, facts: &Facts) -> Vec<Test>;

    /// How to run those that are chosen.
    fn prepare(&self, chosen: &Chosen, parts: &Parts) -> Result<Wanted>;
}

/// What the names of tests depend on.
pub struct Facts {
    /// The names of our selftests' cases.
    pub cases: Vec<String>,
    /// The names of those cases in which allocations fail.
    pub failing_allocations: Vec<String>,
    /// Whether our module is to be tested, rather than C alone.
    pub module: bool,
    /// Whether there is time for what goes on for long.
    pub long: bool,
    /// Whether a number of times was asked for.
    pub times: bool,
}

impl Facts {
    /// Who can be in charge.
    pub fn sides(&self) -> &'static [Side] {
        match self.module {
            true => &[Side::C, Side::Rust],
            false => &[Side::C],
        }
    }
}

/// A test of a machine.
#[derive(Clone)]
pub struct Test {
    /// Its name.
    pub name: String,
    /// Whether it can't run without our module.
    pub wants_module: bool,
    /// Whether it looks at what the others have done, so that all of them run with it.
    pub wants_others: bool,
}

impl Test {
    /// A test on one side, which Rust's needs our module for.
    pub fn on(side: Side, name: String) -> Self {
        Test {
            name,
            wants_module: side == Side::Rust,
            wants_others: false,
        }
    }
}

/// The names of tests that are to run.
pub struct Chosen(pub Vec<String>);

impl Chosen {
    /// Whether that one is.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|chosen| chosen == name)
    }

    /// The rest of the names that begin with `group` and a slash.
    pub fn in_group(&self, group: &str) -> Vec<String> {
        let names = self.0.iter();
        names
            .filter_map(|name| name.strip_prefix(group)?.strip_prefix('/'))
            .map(str::to_owned)
            .collect()
    }
}

/// A boot that is wanted.
pub struct Wanted {
    /// What is to be done in it.
    pub plan: MachinePlan,
    /// Its memory.
    pub memory_mib: u32,
    /// What it boots into.
    pub initramfs: Initramfs,
    /// Steps that are not judged by their own end, but by what came of the whole boot.
    pub expected: Vec<(String, Expected)>,
    /// Tests that can't be run, and why.
    pub failed: Vec<(String, String)>,
}

impl Wanted {
    /// A machine with KVM and our module, and nothing to do yet.
    pub fn new(parts: &Parts, memory_mib: u32) -> Result<Self> {
        let (initramfs, plan) = parts.machine()?;
        Ok(Wanted {
            plan,
            memory_mib,
            initramfs,
            expected: Vec::new(),
            failed: Vec::new(),
        })
    }

    /// Adds a step that is a test.
    pub fn step(&mut self, id: impl Into<String>, side: Option<Side>, limit_s: u64, what: Action) {
        self.plan.steps.push(Step {
            id: id.into(),
            side,
            limit_s,
            action: what,
        });
    }
}

/// Seconds that one of upstream's tests may take.
const UPSTREAM_LIMIT_S: u64 = 60;

/// Seconds for all of our selftests; each case has a limit of its own.
const SELFTESTS_LIMIT_S: u64 = 300;

/// Seconds that inserting ten times may take, or the like.
const LIFECYCLE_LIMIT_S: u64 = 120;

/// Upstream's tests of KVM's Xen code.
const UPSTREAM: [&str; 2] = ["xen_shinfo_test", "xen_vmcall_test"];

/// Adds the chosen ones of upstream's tests, named `group/test`.
fn add_upstream(
    wanted: &mut Wanted,
    chosen: &Chosen,
    parts: &Parts,
    group: &str,
    side: Side,
) -> Result<()> {
    for test in UPSTREAM {
        let id = format!("{group}/{test}");
        if chosen.has(&id) {
            let limit_s = UPSTREAM_LIMIT_S * parts.kernel.patience();
            match parts.upstream(&mut wanted.initramfs, test) {
                Ok(exec) => wanted.step(id, Some(side), limit_s, Action::Exec(exec)),
                Err(error) => wanted.failed.push((id, format!("{error:#}"))),
            }
        }
    }
    Ok(())
}

/// Adds the chosen cases of our selftests, named `group/case`.
fn add_selftests(
    wanted: &mut Wanted,
    chosen: &Chosen,
    parts: &Parts,
    group: &str,
    side: Side,
) -> Result<()> {
    let cases = chosen.in_group(group);
    if !cases.is_empty() {
        let exec = parts.selftests(&mut wanted.initramfs, &[], &cases)?;
        let limit_s = SELFTESTS_LIMIT_S * parts.kernel.patience();
        wanted.step(group, Some(side), limit_s, Action::Exec(exec));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique() {
        let facts = Facts {
            cases: vec!["topic/case".into()],
            failing_allocations: vec!["failing/case".into()],
            module: true,
            long: true,
            times: true,
        };
        let machines = LONG.iter().chain(&SHORT);
        let tests = machines.flat_map(|machine| machine.tests(&facts));
        let names: Vec<_> = tests.map(|test| test.name).collect();
        let unique: BTreeSet<_> = names.iter().collect();
        assert_eq!(names.len(), unique.len());
        assert!(names.contains(&"debug/selftests/topic/case".to_owned()));
    }

    #[test]
    fn a_group_is_more_than_a_beginning() {
        let names = ["a/b/c", "a/bc", "a/b", "a/b/d"].map(str::to_owned);
        assert_eq!(Chosen(names.into()).in_group("a/b"), ["c", "d"]);
    }
}
