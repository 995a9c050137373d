// SPDX-License-Identifier: GPL-2.0

//! KVM's Xen event channels in Rust, on a kernel that is already running.
//!
//! A livepatch: with it enabled, the functions of kvm.ko listed below are those in [`entry`].
//! Documentation/takeover.rst has how they take over and hand back, Documentation/locking.rst
//! what they lock in which order.

use kernel::prelude::*;

mod bindings;

mod abi;
mod attr;
mod entry;
mod evtchn;
mod kvm;
mod livepatch;
mod sync;

module! {
    type: KvmXenRs,
    name: "kvm_xen_rs",
    authors: ["The kvm-xen-rs developers"],
    description: "KVM's Xen event channels, shared_info and vCPU paths in Rust, as a livepatch",
    license: "GPL",
}

livepatch! {
    /// What is replaced in kvm.ko.
    static PATCH = c"kvm" {
        // Delivery of events
        kvm_xen_set_evtchn_fast => entry::kvm_xen_set_evtchn_fast, as declared;
        evtchn_set_fn => entry::evtchn_set_fn, as SetFn;
        kvm_xen_setup_evtchn => entry::kvm_xen_setup_evtchn, as declared;
        kvm_xen_hvm_evtchn_send => entry::kvm_xen_hvm_evtchn_send, as declared;

        // Attributes of a VM
        kvm_xen_hvm_set_attr => entry::kvm_xen_hvm_set_attr, as declared;
        kvm_xen_hvm_get_attr => entry::kvm_xen_hvm_get_attr, as declared;
        kvm_xen_hvm_config => entry::kvm_xen_hvm_config, as declared;
    }
}

struct KvmXenRs;

impl kernel::Module for KvmXenRs {
    fn init(module: &'static ThisModule) -> Result<Self> {
        PATCH.enable(module)?;
        Ok(Self)
    }
}
