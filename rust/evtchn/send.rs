// SPDX-License-Identifier: GPL-2.0

//! Events that are sent: by the VMM (`KVM_XEN_HVM_EVTCHN_SEND`), and by the guest
//! (`EVTCHNOP_send`).

use super::{
    deliver::{deliver, deliver_in_section, Delivery},
    port::Port,
};
use crate::{
    kvm::{
        routing::Route,
        sender::{self, Leads},
        uapi::PRIO_2LEVEL,
        Vm,
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
pub(crate) fn from_vmm(cx: &mut Ctx<'_, VmIoctl>, vm: Vm<'_>, to: Route) -> Result<Delivery> {
    if to.port == 0 || Port::new(to.port, vm.word_size()).is_none() || to.priority != PRIO_2LEVEL {
        return Err(EINVAL);
    }
    deliver(cx, vm, to.port, to.target)
}

/// Sends an event through a port of the guest's, if a sender is assigned to that. May sleep.
///
/// # Errors
///
/// Those of [`deliver`], where the port leads to a port.
pub(crate) fn from_guest(cx: &mut Ctx<'_, MayRefresh>, vm: Vm<'_>, port: u32) -> Option<Result> {
    Some(match sender::find(cx, vm, port)? {
        Leads::ToPort(to) => deliver_in_section(cx, vm, to.port, to.target).map(drop),
        Leads::ToEventFd(eventfd) => {
            eventfd.signal();
            Ok(())
        }
    })
}
