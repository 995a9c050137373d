// SPDX-License-Identifier: GPL-2.0

//! Events that are sent: by the VMM (`KVM_XEN_HVM_EVTCHN_SEND`), and by the guest
//! (`EVTCHNOP_send`).

use super::{
    deliver::{deliver, BoundPort},
    port::Port,
};
use crate::{
    kvm::{routing::Route, sender::Destination, uapi::PRIO_2LEVEL, Vcpu, Vm},
    prelude::*,
    sync::{Ctx, MayRefresh, VmIoctl},
    trace::{self, Delivered},
};

/// Sends an event to the guest. May sleep.
///
/// # Errors
///
/// `EINVAL` for port 0, a port or a vCPU that the guest does not have, a priority, or a guest
/// without `shared_info`; `EFAULT` when there is no page where that should be.
pub(crate) fn from_vmm(cx: &mut Ctx<'_, VmIoctl>, vm: Vm<'_>, to: Route) -> Result {
    match Port::new(to.port, vm.word_size()) {
        // The word size may change while we are at it: this one serves from here on.
        Some(port) if to.port != 0 && to.priority == PRIO_2LEVEL => {
            let mut section = vm.srcu().read(cx);
            deliver(&mut section.cx().may_refresh(), vm, port, to.target, None).result()
        }
        _ => {
            trace::deliver(|| (vm, to.target.id(), to.port, Delivered::Failed, false));
            Err(EINVAL)
        }
    }
}

/// Sends an event through a port of the guest's, if a sender is assigned to that. May sleep.
///
/// What a port leads to is looked up and used inside of the gate, so that a sender that was taken
/// out of the table is out of use when the gate has been free once.
///
/// # Errors
///
/// Those of [`deliver`], where the port leads to a port.
pub(crate) fn from_guest(cx: &mut Ctx<'_, MayRefresh>, vm: Vm<'_>, port: u32) -> Option<Result> {
    // The vCPU, where it had to be searched for.
    let mut searched: Option<Vcpu<'_>> = None;
    loop {
        let gate = vm.gate(cx);
        let (to, sender) = match gate.find(port)? {
            Destination::Port(to, sender) => (to, sender),
            Destination::EventFd(eventfd) => {
                gate.signal(&eventfd);
                return Some(Ok(()));
            }
        };
        let Some(bound) = Port::new(to.port, vm.word_size()) else {
            drop(gate);
            return failed(cx, vm, port, EINVAL);
        };
        let vcpu = match searched.filter(|vcpu| vcpu.id() == to.target.id()) {
            None => gate.target(to.target),
            Some(vcpu) => {
                gate.note(&sender, vcpu);
                Some(vcpu)
            }
        };
        let Some(vcpu) = vcpu else {
            // Outside of the gate, as that takes a while.
            drop(gate);
            searched = vm.target(to.target);
            match searched {
                Some(_) => continue,
                None => return failed(cx, vm, port, EINVAL),
            }
        };
        let bound = BoundPort::new(vcpu, bound);
        if let Some(outcome) = gate.map().map(|page| bound.set_pending(page)) {
            // That it was waited for, if it was, has been traced by `refresh`.
            bound.notify(cx, vm, outcome, false);
            return Some(Ok(()));
        }
        if let Err(error) = refresh(cx, vm, port) {
            return failed(cx, vm, port, error);
        }
    }
}

/// Waits for `shared_info` to be mapped.
#[cold]
#[inline(never)]
fn refresh(cx: &mut Ctx<'_, MayRefresh>, vm: Vm<'_>, port: u32) -> Result {
    trace_undelivered(cx, vm, port, Delivered::NotNow);
    vm.shared_info().refresh(cx)
}

/// What becomes of an event that can't be delivered.
#[cold]
#[inline(never)]
fn failed(cx: &mut Ctx<'_, MayRefresh>, vm: Vm<'_>, port: u32, error: Error) -> Option<Result> {
    trace_undelivered(cx, vm, port, Delivered::Failed);
    Some(Err(error))
}

/// Traces an event that was not delivered. Where it was to go is looked up once more: to keep it at
/// hand would cost those that are delivered more than all else of a tracepoint.
fn trace_undelivered(cx: &mut Ctx<'_, MayRefresh>, vm: Vm<'_>, port: u32, outcome: Delivered) {
    trace::deliver(|| {
        let (vcpu_id, port) = match vm.gate(cx).find(port) {
            Some(Destination::Port(to, _)) => (to.target.id(), to.port),
            _ => (u32::MAX, port),
        };
        (vm, vcpu_id, port, outcome, false)
    });
}
