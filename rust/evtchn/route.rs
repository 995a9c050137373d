// SPDX-License-Identifier: GPL-2.0

//! Events from the interrupt routing table: irqfds and `KVM_IRQ_LINE`.

use super::{
    deliver::{deliver, try_deliver, Delivery},
    poll,
    port::Port,
};
use crate::{
    kvm::{routing::Route, task, uapi::PRIO_2LEVEL, Vm},
    prelude::*,
    sync::{Anywhere, Ctx, SetIrq},
    trace::{self, Delivered},
};

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
    let Some(port) = Port::new(route.port, vm.word_size()) else {
        return refuse(vm, route.target.id(), route.port);
    };
    let delivery = {
        let mut section = vm.srcu().read(cx);
        try_deliver(
            &mut section.cx().may_deliver(),
            vm,
            port,
            route.target,
            None,
        )
    };
    if delivery != Delivery::NOT_NOW {
        return delivery;
    }
    // The page has to be faulted in, for which the irqfd workqueue borrows the VM's mm.
    match vm.enter_mm(cx) {
        Ok(mut mm) => {
            let mut inside = mm.cx();
            let mut section = vm.srcu().read(&mut inside);
            let mut cx = section.cx();
            deliver(&mut cx.may_refresh(), vm, port, route.target, None)
        }
        Err(error) => {
            let id = route.target.id();
            trace::deliver(|| (vm, id, route.port, Delivered::Failed, true));
            Delivery::failed(error)
        }
    }
}

/// Delivers an event that was routed, in any context.
///
/// # Errors
///
/// Those of [`try_deliver`], `EINVAL` when the guest has no such port, or [`Delivery::NOT_NOW`]
/// where not even a lock may be tried, or there are too many to wake.
pub(crate) fn set_inatomic(cx: &mut Ctx<'_, Anywhere>, vm: Vm<'_>, route: Route) -> Delivery {
    let Some(port) = Port::new(route.port, vm.word_size()) else {
        return refuse(vm, route.target.id(), route.port);
    };
    let mut section = vm.srcu().read(cx);
    match task::may_deliver_now(&mut section.cx()) {
        Some(mut cx) if !poll::are_many(vm, route.port) => {
            try_deliver(&mut cx, vm, port, route.target, None)
        }
        _ => {
            let id = route.target.id();
            trace::deliver(|| (vm, id, route.port, Delivered::NotNow, false));
            Delivery::NOT_NOW
        }
    }
}

/// An event for a port that the guest does not have.
#[cold]
#[inline(never)]
fn refuse(vm: Vm<'_>, vcpu_id: u32, port: u32) -> Delivery {
    trace::deliver(|| (vm, vcpu_id, port, Delivered::Failed, false));
    Delivery::failed(EINVAL)
}
