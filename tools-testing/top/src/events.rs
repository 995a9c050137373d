// SPDX-License-Identifier: GPL-2.0
//! The tracepoints: their fields, and what their numbers mean, as in include/kvm_xen_rs_trace.h.

/// The name of the trace system.
pub const SYSTEM: &str = "kvm_xen_rs";

/// A tracepoint.
pub struct Event {
    /// Its name.
    pub name: &'static str,
    /// The histogram that counts it.
    pub trigger: &'static str,
    /// The field that says what has happened, and each of its values from 0 on, as it is shown.
    pub what: (&'static str, &'static [&'static str]),
    /// What its field `ns` is shown as, and the histogram of it.
    pub span: Option<(&'static str, &'static str)>,
}

/// Which process a VM's address stands for.
pub const WHOSE: &str = "hist:keys=vm,pid:size=4096";

/// What becomes of an event, by the numbers of `outcome`.
pub const OUTCOMES: &[&str] = &[
    "coalesced",
    "masked",
    "raised",
    "kick",
    "interrupt",
    "not-now",
    "failed",
];

/// All of them.
pub const EVENTS: [Event; 4] = [
    Event {
        name: "kvm_xen_deliver",
        trigger: "hist:keys=vm,vcpu_id,outcome:vals=hitcount,waited:size=16384",
        what: ("outcome", OUTCOMES),
        span: None,
    },
    Event {
        name: "kvm_xen_poll",
        trigger: "hist:keys=vm,vcpu_id,what:size=16384",
        what: (
            "what",
            &[
                "poll-begins",
                "poll-pending",
                "poll-woken",
                "poll-timed-out",
                "poll-other",
            ],
        ),
        span: Some((
            WOKEN_AFTER,
            "hist:keys=vm,vcpu_id,ns.log2:size=16384 if what == 2",
        )),
    },
    Event {
        name: "kvm_xen_timer",
        trigger: "hist:keys=vm,vcpu_id,what:size=16384",
        what: (
            "what",
            &[
                "timer-in-time",
                "timer-deferred",
                "timer-later",
                "timer-again",
                "timer-no-port",
            ],
        ),
        span: Some((
            TIMER_LATE,
            "hist:keys=vm,vcpu_id,ns.log2:size=16384 if what == 0 || what == 2",
        )),
    },
    Event {
        name: "kvm_xen_refresh",
        trigger: "hist:keys=vm,error:size=4096",
        what: ("error", &["refreshed"]),
        span: None,
    },
];

/// What a refresh that has failed counts as, whatever the error.
pub const REFRESH_FAILED: &str = "refresh-failed";

/// Deliveries that `shared_info` was waited for, of those above.
pub const WAITED: &str = "waited";

/// How long polls have lasted that an event has ended.
pub const WOKEN_AFTER: &str = "poll-woken-ns";

/// By how much timers were late whose event was delivered.
pub const TIMER_LATE: &str = "timer-late-ns";

/// What is shown of spans: a name for it, and how many in a hundred of them do not exceed it.
pub const QUANTILES: [(&str, u64); 2] = [("median", 50), ("99", 99)];
