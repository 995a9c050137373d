// SPDX-License-Identifier: GPL-2.0

//! Events that are sent: by the VMM (`KVM_XEN_HVM_EVTCHN_SEND`), and by the guest
//! (`EVTCHNOP_send`).

use super::{
    deliver::{deliver, End},
    port::Port,
};
use crate::{
    kvm::{
        routing::Route,
        sender::{self, Leads},
        uapi::PRIO_2LEVEL,
        Vcpu, Vm,
    },
    sync::{Ctx, MayRefresh, VmIoctl},
};
use kernel::prelude::*;

/// Sends an event to the guest.
///
/// # Errors
///
/// `EINVAL` for port 0, a port or a vCPU that the guest does not have, a priority, or a guest
/// without `shared_info`; `EFAULT` when there is no page where that should be.
pub(crate) fn from_vmm(cx: &mut Ctx<'_, VmIoctl>, vm: Vm<'_>, to: Route) -> Result {
    match Port::new(to.port, vm.word_size()) {
        // The word size may change while we are at it: this one serves from here on.
        Some(port) if to.port != 0 && to.priority == PRIO_2LEVEL => {
            deliver(cx, vm, port, to.target).result()
        }
        _ => Err(EINVAL),
    }
}

/// Sends an event through a port of the guest's, if a sender is assigned to that. May sleep.
///
/// What a port leads to is looked up and used with `shared_info` locked, so that a sender that was
/// taken out of the table is out of use when that lock has been free once.
///
/// # Errors
///
/// Those of [`deliver`], where the port leads to a port.
pub(crate) fn from_guest(cx: &mut Ctx<'_, MayRefresh>, vm: Vm<'_>, port: u32) -> Option<Result> {
    // The vCPU, where it had to be searched for.
    let mut searched: Option<Vcpu<'_>> = None;
    loop {
        let (to, set) = {
            let table = vm.shared_info().lock(cx);
            match sender::find(&table, vm, port)? {
                Leads::ToEventFd(eventfd) => {
                    // Of which nobody waits for this lock: there may be much behind an eventfd.
                    drop(table);
                    eventfd.signal();
                    return Some(Ok(()));
                }
                Leads::ToPort(to, sender) => {
                    let Some(port) = Port::new(to.port, vm.word_size()) else {
                        return Some(Err(EINVAL));
                    };
                    let vcpu = match searched.filter(|vcpu| vcpu.id() == to.target.id()) {
                        None => vm.target_at_once(&table, to.target),
                        Some(vcpu) => {
                            sender.note(&table, vcpu);
                            Some(vcpu)
                        }
                    };
                    let Some(vcpu) = vcpu else {
                        // Not with the lock held, as that takes a while.
                        drop(table);
                        searched = vm.target(to.target);
                        match searched {
                            Some(_) => continue,
                            None => return Some(Err(EINVAL)),
                        }
                    };
                    let to = End::new(vcpu, port);
                    (to, table.map().map(|page| to.set(page)))
                }
            }
        };
        if let Some(set) = set {
            to.tell(cx, vm, set);
            return Some(Ok(()));
        }
        if let Err(error) = vm.shared_info().refresh(cx) {
            return Some(Err(error));
        }
    }
}
