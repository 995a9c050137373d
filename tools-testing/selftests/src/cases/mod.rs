// SPDX-License-Identifier: GPL-2.0
//! What is checked. Each file has a topic, and its table of cases at the end.

use crate::case::Topic;

mod c_bugs;
mod dirty;
mod evtchn_send;
mod failing_allocations;
mod fixes;
mod guest_send;
mod hvm_config;
mod hypercall_exit;
mod hypercall_page;
mod irqfd;
mod lockdep;
mod poll_timeout;
mod ports;
mod runstate;
mod runstate_layout;
mod sched_op;
mod shared_info;
mod slow_path;
mod timer;
mod upcall;
mod updates;
mod vcpu_attr;
mod vcpu_info;
mod vm_attr;
mod wall_clock;

/// All topics, simple ones first: what fails early often explains the rest.
pub const TOPICS: &[&Topic] = &[
    &vm_attr::TOPIC,
    &shared_info::TOPIC,
    &wall_clock::TOPIC,
    &hvm_config::TOPIC,
    &hypercall_page::TOPIC,
    &ports::TOPIC,
    &evtchn_send::TOPIC,
    &vcpu_info::TOPIC,
    &upcall::TOPIC,
    &irqfd::TOPIC,
    &slow_path::TOPIC,
    &hypercall_exit::TOPIC,
    &guest_send::TOPIC,
    &vcpu_attr::TOPIC,
    &runstate::TOPIC,
    &runstate_layout::TOPIC,
    &timer::TOPIC,
    &sched_op::TOPIC,
    &dirty::TOPIC,
    &fixes::TOPIC,
    &c_bugs::TOPIC,
];

/// For a module that was inserted with xen_poll_timeout=1.
pub const WITH_XEN_POLL_TIMEOUT: &[&Topic] = &[&poll_timeout::TOPIC];

/// For a kernel with fault injection.
pub const WITH_FAULT_INJECTION: &[&Topic] = &[&failing_allocations::TOPIC];

/// For a kernel with lockdep, which reports once: of these only one is run in a boot.
pub const WITH_LOCKDEP: &[&Topic] = &[&lockdep::TOPIC];
