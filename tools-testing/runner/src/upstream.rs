// SPDX-License-Identifier: GPL-2.0
//! What is known of upstream's own tests.

use protocol::Flaw;

/// Failures of them that say nothing of KVM. Each was seen on C and on Rust.
pub fn flaws() -> Vec<Flaw> {
    vec![Flaw {
        // xen_shinfo_test sets the times of the runstate with an ioctl, and has the guest look.
        line: "rs->time[RUNSTATE_runnable] == 0".into(),
        reason: "it relies on its vCPU not being preempted between KVM_XEN_VCPU_SET_ATTR and the \
                 guest's look"
            .into(),
    }]
}
