// SPDX-License-Identifier: GPL-2.0

//! KVM's Xen event channels in Rust, on a kernel that is already running.
//!
//! A livepatch: with it enabled, the functions of kvm.ko listed below are those in [`entry`].
//! Documentation/takeover.rst has how they take over and hand back, Documentation/locking.rst
//! what they lock in which order.

#![deny(unsafe_code)]
#![warn(clippy::multiple_unsafe_ops_per_block)]

use kernel::prelude::*;

#[allow(unsafe_code)]
mod bindings;

mod abi;
mod attr;
#[allow(unsafe_code)]
mod entry;
mod evtchn;
mod hypercall;
mod kernels;
#[allow(unsafe_code)]
mod kvm;
#[allow(unsafe_code)]
mod livepatch;
#[allow(unsafe_code)]
mod object;
mod prelude;
#[allow(unsafe_code)]
mod sync;
#[allow(unsafe_code)]
mod trace;
mod vcpu;

module! {
    type: KvmXenRs,
    name: "kvm_xen_rs",
    authors: ["The kvm-xen-rs developers"],
    description: "KVM's Xen event channels, shared_info and vCPU paths in Rust, as a livepatch",
    license: "GPL",
    params: {
        xen_poll_timeout: u8 {
            default: 0,
            description: "SCHEDOP_poll's timeout: 0, a span from now, as KVM has it (default); 1, a moment of system time, as Xen has it",
        },
        signal_vcpus: u8 {
            default: 1,
            description: "vCPUs that a transition waits for are interrupted: 1, each second (default); 0, by livepatch alone, after 15 seconds",
        },
    },
}

livepatch! {
    /// What is replaced in kvm.ko.
    // SAFETY: `entry.rs` says of each function what it relies on when KVM calls it.
    unsafe static PATCH = c"kvm" {
        // Delivery of events
        kvm_xen_set_evtchn_fast => entry::kvm_xen_set_evtchn_fast, as declared;
        evtchn_set_fn => entry::evtchn_set_fn, as SetFn;
        kvm_xen_setup_evtchn => entry::kvm_xen_setup_evtchn, as declared;
        kvm_xen_hvm_evtchn_send => entry::kvm_xen_hvm_evtchn_send, as declared;

        // Attributes of a VM
        kvm_xen_hvm_set_attr => entry::kvm_xen_hvm_set_attr, as declared;
        kvm_xen_hvm_get_attr => entry::kvm_xen_hvm_get_attr, as declared;
        kvm_xen_hvm_config => entry::kvm_xen_hvm_config, as declared;

        // Attributes of a vCPU, and what it is told
        kvm_xen_vcpu_set_attr => entry::kvm_xen_vcpu_set_attr, as declared;
        kvm_xen_vcpu_get_attr => entry::kvm_xen_vcpu_get_attr, as declared;
        kvm_xen_update_runstate => entry::kvm_xen_update_runstate, as declared;
        __kvm_xen_has_interrupt => entry::__kvm_xen_has_interrupt, as declared;
        kvm_xen_inject_pending_events => entry::kvm_xen_inject_pending_events, as declared;
        kvm_xen_inject_vcpu_vector => entry::kvm_xen_inject_vcpu_vector, as declared;

        // Timers
        kvm_xen_inject_timer_irqs => entry::kvm_xen_inject_timer_irqs, as declared;
        xen_timer_callback => entry::xen_timer_callback, as HrtimerFn;
        cancel_evtchn_poll => entry::cancel_evtchn_poll, as TimerFn;

        // Hypercalls
        kvm_xen_write_hypercall_page => entry::kvm_xen_write_hypercall_page, as declared;
        kvm_xen_hypercall => entry::kvm_xen_hypercall, as declared;
        kvm_xen_hypercall_complete_userspace =>
            entry::kvm_xen_hypercall_complete_userspace, as CompleteFn;

        // The beginning and the end of VMs and vCPUs
        kvm_xen_init_vm => entry::kvm_xen_init_vm, as declared;
        kvm_xen_destroy_vm => entry::kvm_xen_destroy_vm, as declared;
        kvm_xen_init_vcpu => entry::kvm_xen_init_vcpu, as declared;
        kvm_xen_destroy_vcpu => entry::kvm_xen_destroy_vcpu, as declared;
    }
}

struct KvmXenRs;

impl kernel::Module for KvmXenRs {
    fn init(module: &'static ThisModule) -> Result<Self> {
        PATCH.enable(module)?;
        Ok(Self)
    }
}
