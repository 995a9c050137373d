// SPDX-License-Identifier: GPL-2.0

//! Entries of the interrupt routing table.

use super::Target;
use crate::{
    bindings,
    livepatch::symbols,
    object::{field, Object},
    sync::barrier::smp_rmb,
};

/// What a routing entry of the type `KVM_IRQ_ROUTING_XEN_EVTCHN` leads to.
#[derive(Clone, Copy)]
pub(crate) struct Route {
    /// The port, of any number.
    pub(crate) port: u32,
    /// The vCPU.
    pub(crate) target: Target,
    /// The priority.
    pub(crate) priority: u32,
}

/// A route as the user describes it.
pub(crate) fn from_user(entry: &bindings::kvm_irq_routing_entry) -> Route {
    // SAFETY: Any bytes are a value of the field.
    let evtchn = unsafe { entry.u.xen_evtchn };
    from_user_evtchn(&evtchn)
}

/// The part of a route that the send ioctl has too.
pub(crate) fn from_user_evtchn(evtchn: &bindings::kvm_irq_routing_xen_evtchn) -> Route {
    Route {
        port: evtchn.port,
        target: Target::by_id(evtchn.vcpu),
        priority: evtchn.priority,
    }
}

/// An event as KVM keeps it in an entry or a sender. C may be changing it, so each field is read
/// once.
pub(crate) fn from_kernel(evtchn: Object<'_, bindings::kvm_xen_evtchn>) -> Route {
    let port = field!(evtchn, port).read_once();
    let vcpu_id = field!(evtchn, vcpu_id).read_once();
    // Who binds a sender writes the index first.
    smp_rmb();
    let vcpu_idx = field!(evtchn, vcpu_idx).read_once();
    Route {
        port,
        target: Target::new(vcpu_id, vcpu_idx),
        priority: field!(evtchn, priority).read_once(),
    }
}

/// Writes a route to an entry that is not yet in use, to be delivered by `evtchn_set_fn()`.
pub(crate) fn fill(entry: &mut bindings::kvm_kernel_irq_routing_entry, route: Route) {
    entry.__bindgen_anon_1.xen_evtchn = bindings::kvm_xen_evtchn {
        port: route.port,
        vcpu_id: route.target.id(),
        vcpu_idx: route.target.raw_index(),
        priority: route.priority,
    };
    // KVM's own, not ours: the entry may outlive this module.
    entry.set = Some(symbols::evtchn_set_fn);
}
