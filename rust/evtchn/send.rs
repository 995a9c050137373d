// SPDX-License-Identifier: GPL-2.0

//! Events that the VMM sends: `KVM_XEN_HVM_EVTCHN_SEND`.

use super::deliver::{deliver, Delivery};
use crate::{
    evtchn::port::Port,
    kvm::{routing::Route, uapi::PRIO_2LEVEL, Vm},
    sync::{Ctx, VmIoctl},
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
