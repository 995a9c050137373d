// SPDX-License-Identifier: GPL-2.0

//! Events from the interrupt routing table: irqfds and `KVM_IRQ_LINE`.

use super::deliver::{deliver, deliver_fast, Delivery};
use crate::{
    kvm::{routing::Route, uapi::PRIO_2LEVEL, Vm},
    sync::{order::KvmSrcu, Anywhere, Ctx, MayEnter, MayWake, SetIrq},
};
use kernel::prelude::*;

/// Checks a route that is about to be added to the table, and completes it.
///
/// The vCPU may come later, and so may the word size by which a port is too high: the table can
/// be restored before everything else.
///
/// # Errors
///
/// `EINVAL` for a priority: there are none in the 2-level ABI.
pub(crate) fn setup(vm: Vm<'_>, route: Route) -> Result<Route> {
    if route.priority != PRIO_2LEVEL {
        return Err(EINVAL);
    }
    let mut target = route.target;
    target.vcpu_idx = vm.vcpu_by_id(target.vcpu_id).map(|vcpu| vcpu.index());
    Ok(Route { target, ..route })
}

/// Delivers an event that was routed, in a context that may wait for the guest's pages.
///
/// # Errors
///
/// Those of [`deliver`].
pub(crate) fn set(cx: &mut Ctx<'_, SetIrq>, vm: Vm<'_>, route: Route) -> Result<Delivery> {
    match at_once(cx, vm, route) {
        Err(EAGAIN) => {}
        done => return done,
    }
    // The page has to be faulted in, for which the irqfd workqueue borrows the VM's mm.
    let mut mm = vm.enter_mm(cx)?;
    deliver(&mut mm.cx(), vm, route.port, route.target)
}

/// Delivers an event that was routed, in any context.
///
/// # Errors
///
/// Those of [`deliver_fast`].
#[inline]
pub(crate) fn set_inatomic(
    cx: &mut Ctx<'_, Anywhere>,
    vm: Vm<'_>,
    route: Route,
) -> Result<Delivery> {
    at_once(cx, vm, route)
}

/// Delivers an event in a read section of its own.
#[inline]
fn at_once<H: MayEnter<KvmSrcu> + MayWake>(
    cx: &mut Ctx<'_, H>,
    vm: Vm<'_>,
    route: Route,
) -> Result<Delivery> {
    let mut section = vm.srcu().read(cx);
    deliver_fast(
        &mut section.cx().may_deliver(),
        vm,
        route.port,
        route.target,
    )
}
