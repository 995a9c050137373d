// SPDX-License-Identifier: GPL-2.0
//! What the runner and the init of its machines say to each other.
//!
//! The runner puts a [`Plan`] into the initramfs as [`PLAN_PATH`]; init answers with one
//! [`Event`] per line on its second serial port. The init of a Xen guest does the same towards
//! the init of the machine that it runs in.

mod cost;
mod event;
mod functions;
mod guest;
mod pattern;
mod plan;
mod tried;

pub use cost::{Beside, Contention, Cost, Crowd, Sent, Server, GROWTH};
pub use event::{Event, Outcome, Probe, Transition};
pub use functions::{other_functions, FUNCTIONS};
pub use guest::{DiskPlan, GuestEvent, GuestPlan, GuestReport, GuestState, IrqLine, Round, Timer};
pub use pattern::{fill_block, first_difference};
pub use plan::{
    Action, ExecAction, Flaw, GuestAction, KvmModules, MachinePlan, MigrateAction, Output, Phase,
    Plan, Seen, ShellAction, Side, Step, RUN_AGAIN,
};
pub use tried::Tried;

use serde::{de::DeserializeOwned, Serialize};

/// Where init finds its plan.
pub const PLAN_PATH: &str = "/plan.json";

/// Name of the module, as in `/sys/module` and `/sys/kernel/livepatch`.
pub const MODULE_NAME: &str = "kvm_xen_rs";

/// What init's lines in the kernel log begin with.
pub const KLOG_TAG: &str = "kvm-xen-init:";

/// The image of the Xen guest's disk, in the machine that the guest runs in.
pub const GUEST_DISK: &str = "/run/xen-guest.disk";

/// The Xen guest's console, as above.
pub const GUEST_LOG: &str = "/run/xen-guest.log";

/// The monitor of the Xen guest's QEMU, a socket, as above.
pub const GUEST_MONITOR: &str = "/run/xen-guest.monitor";

/// The same QEMU's monitor for programs (QMP), where it has one.
pub const GUEST_QMP: &str = "/run/xen-guest.qmp";

/// The word that asks the Xen guest for its state, which it tells at once.
pub const GUEST_STATE: &str = "state";

/// The word that asks the Xen guest for its report and its end.
pub const GUEST_FINISH: &str = "finish";

/// One message as the line that goes over the wire, with its newline.
pub fn to_line<T: Serialize>(message: &T) -> String {
    let mut line = serde_json::to_string(message).expect("messages are plain data");
    line.push('\n');
    line
}

/// The message of one line; `None` where it is none (a stray line of firmware, say).
pub fn from_line<T: DeserializeOwned>(line: &str) -> Option<T> {
    serde_json::from_str(line.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_and_comes_back() {
        let event = Event::Output {
            line: "two\nlines \"quoted\" \u{1b}[0m".into(),
        };
        let line = to_line(&event);
        assert_eq!(line.matches('\n').count(), 1);
        assert_eq!(from_line::<Event>(&line), Some(event));
    }

    #[test]
    fn a_stray_line_is_no_message() {
        assert_eq!(from_line::<Event>("SeaBIOS (version 1.16)"), None);
        assert_eq!(from_line::<Event>("{\"event\":\"no-such\"}"), None);
    }
}
