// SPDX-License-Identifier: GPL-2.0
//! What a machine tells the runner.

use crate::{GuestEvent, Side};
use serde::{Deserialize, Serialize};

/// One line on the second serial port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// Init runs.
    Up {
        /// `uname -r`.
        release: String,
        /// Processors online.
        cpus: usize,
        /// Since the kernel started.
        uptime_ms: u64,
    },
    /// A step begins.
    Begin {
        /// Its id.
        id: String,
    },
    /// What is being done in the step, for a person who waits.
    Note {
        /// Present participle and all: "waiting for the guest".
        text: String,
    },
    /// A line of a program's output.
    Output {
        /// Without its newline.
        line: String,
    },
    /// A line of the Xen guest's kernel log.
    GuestKernel {
        /// Without its newline.
        line: String,
    },
    /// A person may type.
    Prompt,
    /// The side in charge has changed.
    Changed(Transition),
    /// A word from the Xen guest.
    Guest {
        /// Milliseconds since the step began.
        at_ms: u64,
        /// What it said.
        said: GuestEvent,
    },
    /// The Xen guest is up, and its first round is over.
    Booted {
        /// Who was in charge.
        side: Side,
        /// How long it took.
        ms: u64,
        /// How often functions were entered; empty where nothing was counted.
        probes: Vec<Probe>,
    },
    /// A phase of the Xen guest's work is over.
    Phase {
        /// Index in the step's list.
        index: usize,
        /// Who was in charge.
        side: Side,
        /// How long it took.
        ms: u64,
        /// The guest's rounds that began and ended in it.
        rounds: u32,
        /// Bytes written, read back and found right in these rounds.
        disk_bytes: u64,
        /// Inter-processor interrupts in these rounds.
        ipis: u64,
        /// How often functions were entered; empty where nothing was counted.
        probes: Vec<Probe>,
    },
    /// A step is over.
    End {
        /// Its id.
        id: String,
        /// How it went.
        outcome: Outcome,
        /// How long it took.
        ms: u64,
    },
    /// What has run of our module, where that is built with coverage.
    Counted {
        /// The sum of each counter.
        counts: Vec<u64>,
    },
    /// Init can't go on.
    Fatal {
        /// Why.
        message: String,
    },
    /// The plan is done; the machine powers off.
    Done,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Outcome {
    /// Well.
    Ok,
    /// It could not be tried here.
    Skip {
        /// Why.
        reason: String,
    },
    /// Not well.
    Failed {
        /// What is wrong.
        reason: String,
    },
}

/// One change of the side in charge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// Who is in charge now.
    pub to: Side,
    /// Inserting or removing the module, without the wait for the transition.
    pub module_ms: u64,
    /// From the request until every task had changed over.
    pub transition_ms: u64,
    /// The functions that the livepatch lists, where it is enabled.
    pub functions: Vec<String>,
}

/// Entries of one function in one phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Its name, which C and Rust share.
    pub function: String,
    /// How often it was entered, on whichever side is in charge; `None` where the kernel took no
    /// probe.
    pub entries: Option<u64>,
}
