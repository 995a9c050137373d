// SPDX-License-Identifier: GPL-2.0

//! vCPUs that wait in `SCHEDOP_poll` for a port to become pending.
//!
//! As in Xen, whatever port becomes pending wakes those that poll for it: masked or not, and
//! bound to any vCPU.

use super::port::Port;
use crate::kvm::{vcpu::Polled, Vm};

/// Wakes the vCPUs that poll for `port`. Any context.
///
/// Call it after the pending bit was set by a fully ordered operation. A poller puts itself on the
/// list before it looks at that bit, so that one of the two sees the other.
#[inline]
pub(crate) fn wake(vm: Vm<'_>, port: Port) {
    vm.for_each_poller(|vcpu| {
        let waits = match vcpu.polled() {
            Some(Polled::Port(polled)) => polled == port.nr(),
            Some(Polled::Several) => true,
            None => false,
        };
        if waits && vm.take_poller(vcpu) {
            vcpu.unblock();
        }
    });
}
