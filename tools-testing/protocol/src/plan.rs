// SPDX-License-Identifier: GPL-2.0
//! What a machine is to do.

use crate::GuestPlan;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The whole of what init needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "kebab-case")]
pub enum Plan {
    /// For the machine that KVM and our module run in.
    Machine(MachinePlan),
    /// For the Xen guest inside it.
    Guest(GuestPlan),
}

/// The plan of the machine that KVM runs in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachinePlan {
    /// KVM's modules.
    pub kvm: KvmModules,
    /// Our module; `None` where everything stays on C.
    pub module: Option<String>,
    /// Done one after the other.
    pub steps: Vec<Step>,
}

/// Paths of KVM's modules, each list in the order of loading, dependencies included.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvmModules {
    /// What `kvm.ko` needs. Loaded at boot and kept.
    pub needed: Vec<String>,
    /// `kvm.ko` itself.
    pub kvm: String,
    /// For a CPU with SVM; the last one is `kvm-amd.ko`.
    pub amd: Vec<String>,
    /// For a CPU with VMX; the last one is `kvm-intel.ko`.
    pub intel: Vec<String>,
}

/// Whose code serves Xen guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// KVM's own; our module isn't loaded.
    C,
    /// Ours; the livepatch is enabled and its transition is over.
    Rust,
}

impl Side {
    /// As it stands in the name of a test.
    pub fn name(self) -> &'static str {
        match self {
            Side::C => "c",
            Side::Rust => "rust",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::C => "C",
            Side::Rust => "Rust",
        })
    }
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Unique in the plan, and the name of the test that it is, where it is one.
    pub id: String,
    /// The side to be in charge before the step begins; `None` where the step sees to it.
    pub side: Option<Side>,
    /// Seconds after which the step is stopped and has failed.
    pub limit_s: u64,
    /// What is to be done.
    pub action: Action,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Action {
    /// Runs a program.
    Exec(ExecAction),
    /// Boots a Xen guest and lets it work, phase after phase.
    Guest(GuestAction),
    /// Moves a Xen guest at work from one QEMU to another.
    Migrate(MigrateAction),
    /// Inserts our module, hands back and removes it, this many times.
    Reinsert {
        /// How often.
        times: u32,
    },
    /// Inserts our module while `kvm.ko` isn't loaded; it must take effect when that comes.
    InsertBeforeKvm {
        /// A program that KVM's Xen code serves.
        proof: ExecAction,
    },
    /// Inserts a module that was built for another kvm.ko, which has to be refused; and before
    /// KVM is there, which then has to be.
    RefuseBuild {
        /// Where the module is.
        module: String,
    },
    /// Inserts our module with these parameters, and runs a program; then hands back.
    InsertWith {
        /// As after `insmod`.
        parameters: String,
        /// The program.
        proof: ExecAction,
    },
    /// Fails where lockdep has turned itself off: from then on it sees nothing.
    Lockdep,
    /// Has kmemleak look for memory that nobody refers to; fails with what it finds.
    Kmemleak,
    /// Tells the lines of a file as output.
    Read {
        /// The file.
        path: String,
    },
    /// A prompt on a serial port.
    Shell(ShellAction),
}

/// How to run a program and judge it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecAction {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// What its output is.
    pub output: Output,
    /// Failures that are the program's own: after one of them it is run again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flaws: Vec<Flaw>,
}

impl ExecAction {
    /// A program whose output is text.
    pub fn text(argv: Vec<String>) -> Self {
        ExecAction {
            argv,
            output: Output::Text,
            flaws: Vec::new(),
        }
    }

    /// A program whose output is KTAP.
    pub fn ktap(argv: Vec<String>) -> Self {
        ExecAction {
            output: Output::Ktap,
            ..Self::text(argv)
        }
    }
}

/// A failure that a program ends with now and then whatever it is that it tests, because something
/// that it relies on holds only mostly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flaw {
    /// A part of a line that it prints then, and only then.
    pub line: String,
    /// What it relies on.
    pub reason: String,
}

impl Flaw {
    /// Whether this line of output tells of it.
    pub fn shows_in(&self, line: &str) -> bool {
        line.contains(&self.line)
    }
}

/// What a line of output begins with that tells why a program is run again.
pub const RUN_AGAIN: &str = "# run again: ";

/// What the output of a program is, and how its end is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Output {
    /// Text. Exit status 0 is success, 4 (kselftest's) a skip whose reason is the last line.
    Text,
    /// KTAP, in which each case counts by itself.
    Ktap,
}

/// A Xen guest that works while the side in charge changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestAction {
    /// QEMU and its arguments. The guest's disk is [`crate::GUEST_DISK`], its console goes to
    /// [`crate::GUEST_LOG`], its second serial port is QEMU's standard input and output, and
    /// QEMU's monitor is at [`crate::GUEST_MONITOR`].
    pub qemu: Vec<String>,
    /// Size of the guest's disk, which init makes empty.
    pub disk_mib: u64,
    /// The guest's own plan: init looks at the image of the disk afterwards.
    pub guest: GuestPlan,
    /// Who is in charge, and for how long.
    pub phases: Vec<Phase>,
    /// Whether to count how often each function that the module replaces is entered.
    pub count: bool,
    /// Seconds that a transition may take with the guest running.
    pub transition_limit_s: u64,
    /// What its interrupts have to say in the end of how it was set up.
    pub interrupts: Vec<Seen>,
}

/// Of the lines of the guest's `/proc/interrupts` that are Xen's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Their number or short name, and the rest, have this in them.
    pub line: String,
    /// Whether one of them has counted something; else none has.
    pub counted: bool,
}

/// One phase of a [`GuestAction`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// Who serves the guest.
    pub side: Side,
    /// Rounds of work that the guest has to begin and end in this phase.
    pub rounds: u32,
}

/// A Xen guest that is moved, by a file, to another QEMU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrateAction {
    /// QEMU and its arguments, as in [`GuestAction`]; QMP is at [`crate::GUEST_QMP`].
    pub qemu: Vec<String>,
    /// Size of the guest's disk, which init makes empty.
    pub disk_mib: u64,
    /// The guest's own plan.
    pub guest: GuestPlan,
    /// Its processors.
    pub cpus: u32,
    /// Who serves it at first.
    pub from: Side,
    /// Who serves it afterwards.
    pub to: Side,
    /// Rounds of work that the guest has to begin and end afterwards.
    pub rounds: u32,
}

/// A prompt for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShellAction {
    /// The serial port that the person is at.
    pub tty: String,
    /// The terminal's rows and columns.
    pub size: Option<(u16, u16)>,
    /// Value of `TERM`.
    pub term: String,
    /// Modules to load first, in order.
    pub modules: Vec<String>,
    /// What to tell the person.
    pub greeting: String,
    /// A Xen guest to run beside it.
    pub guest: Option<GuestAction>,
}
