// SPDX-License-Identifier: GPL-2.0

//! Events from the interrupt routing table: irqfds and `KVM_IRQ_LINE`.

use super::{
    deliver::{deliver, deliver_at_once, Delivery},
    port::Port,
};
use crate::{
    kvm::{routing::Route, task, uapi::PRIO_2LEVEL, Vm},
    sync::{Anywhere, Ctx, MayTry, SetIrq},
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
    let target = vm.bind(route.target.id());
    Ok(Route { target, ..route })
}

/// Delivers an event that was routed, in a context that may wait for the guest's pages.
///
/// # Errors
///
/// Those of [`deliver`].
pub(crate) fn set(cx: &mut Ctx<'_, SetIrq>, vm: Vm<'_>, route: Route) -> Delivery {
    let delivery = set_at_once(&mut cx.may_try(), vm, route);
    if delivery != Delivery::NOT_NOW {
        return delivery;
    }
    let Some(port) = Port::new(route.port, vm.word_size()) else {
        return Delivery::failed(EINVAL);
    };
    // The page has to be faulted in, for which the irqfd workqueue borrows the VM's mm.
    match vm.enter_mm(cx) {
        Ok(mut mm) => deliver(&mut mm.cx(), vm, port, route.target),
        Err(error) => Delivery::failed(error),
    }
}

/// Delivers an event that was routed, in any context.
///
/// # Errors
///
/// Those of [`deliver_at_once`], `EINVAL` when the guest has no such port, or
/// [`Delivery::NOT_NOW`] where not even a lock may be tried.
#[inline(always)]
pub(crate) fn set_inatomic(cx: &mut Ctx<'_, Anywhere>, vm: Vm<'_>, route: Route) -> Delivery {
    match task::may_try_now(cx) {
        Some(mut cx) => set_at_once(&mut cx, vm, route),
        None => Delivery::NOT_NOW,
    }
}

/// As [`set_inatomic`], where a lock may be tried.
#[inline(always)]
fn set_at_once(cx: &mut Ctx<'_, MayTry>, vm: Vm<'_>, route: Route) -> Delivery {
    match Port::new(route.port, vm.word_size()) {
        Some(port) => deliver_at_once(cx, vm, port, route.target),
        None => Delivery::failed(EINVAL),
    }
}
