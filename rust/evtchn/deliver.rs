// SPDX-License-Identifier: GPL-2.0

//! Delivery of an event to a port of the guest.
//!
//! An event sets the port's pending bit in `shared_info`. If that was clear and the port is not
//! masked, the vCPU that the port is bound to is told: the bit of the port's word in its
//! `evtchn_pending_sel`, and if that was clear too, its `evtchn_upcall_pending` and a kick, or an
//! interrupt in its local APIC. What is set already was told before.
//!
//! Source: the description of the 2-level ABI in `xen/interface/event_channel.h`.

use super::{
    poll,
    port::{Port, Target},
};
use crate::{
    abi::{
        shared_info,
        vcpu_info::{self, EVTCHN_UPCALL_PENDING},
    },
    kvm::{Vcpu, Vm},
    sync::{order::KvmSrcu, Ctx, InVmMm, MayDeliver, MayEnter, MayRefresh, MaySleep, MayWake},
};
use kernel::prelude::*;

/// What became of an event.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// The port was pending already, so the guest will look at it anyway.
    Coalesced,
    /// The port is pending now, and the vCPU has been told.
    Raised,
    /// The port is pending now, but masked: the guest looks when it unmasks it.
    Masked,
}

/// Delivers an event without ever waiting. Any context.
///
/// # Errors
///
/// `EINVAL` when the guest has no such port or vCPU. `EAGAIN` when `shared_info` is not mapped,
/// or being mapped, just now: nothing has happened, and [`deliver`] can wait for it.
pub(crate) fn deliver_fast(
    cx: &mut Ctx<'_, MayDeliver>,
    vm: Vm<'_>,
    port: u32,
    target: Target,
) -> Result<Delivery> {
    let vcpu = vm.target(target).ok_or(EINVAL)?;
    // Once: it may change while we are at it, and one layout must serve from here on.
    let size = vm.word_size();
    let port = Port::new(port, size).ok_or(EINVAL)?;

    let masked = {
        let page = vm.shared_info().try_read(cx).ok_or(EAGAIN)?;
        if page.test_and_set(&shared_info::evtchn_pending(size), port.nr()) {
            return Ok(Delivery::Coalesced);
        }
        page.test(&shared_info::evtchn_mask(size), port.nr())
    };

    poll::wake(cx, vm, port);
    if masked {
        return Ok(Delivery::Masked);
    }
    raise(cx, vcpu, port);
    Ok(Delivery::Raised)
}

/// Tells a vCPU that there is an event in the word of `port`.
fn raise(cx: &mut Ctx<'_, MayDeliver>, vcpu: Vcpu<'_>, port: Port) {
    let upcall = match vcpu.vcpu_info().try_read(cx) {
        Some(info) => {
            let sel = vcpu_info::evtchn_pending_sel(port.word_size());
            if info.test_and_set(&sel, port.word()) {
                return;
            }
            info.store(&EVTCHN_UPCALL_PENDING, 1);
            vcpu.upcall_vector() != 0
        }
        // The page is away. The vCPU brings it back, where it may wait, and does this itself.
        None if vcpu.test_and_set_pending_sel(port.word()) => return,
        None => false,
    };

    if upcall {
        vcpu.inject_upcall_vector(cx);
    } else {
        vcpu.unblock(cx);
    }
}

/// Delivers an event, and waits for `shared_info` to be mapped if it has to. May sleep.
///
/// # Errors
///
/// `EINVAL` when the guest has no such port or vCPU, or no `shared_info`; `EFAULT` when there is
/// no page where that should be.
pub(crate) fn deliver<H>(
    cx: &mut Ctx<'_, H>,
    vm: Vm<'_>,
    port: u32,
    target: Target,
) -> Result<Delivery>
where
    H: MayEnter<KvmSrcu> + InVmMm + MaySleep + MayWake,
{
    loop {
        // A read section for each attempt: a change of memslots waits for the end of one.
        let mut section = vm.srcu().read(cx);
        match deliver_fast(&mut section.cx().may_deliver(), vm, port, target) {
            Err(EAGAIN) => vm.shared_info().refresh(&mut section.cx())?,
            done => return done,
        }
    }
}

/// As [`deliver`], where the caller is in a read section that it does not leave.
///
/// # Errors
///
/// Those of [`deliver`].
pub(crate) fn deliver_in_section(
    cx: &mut Ctx<'_, MayRefresh>,
    vm: Vm<'_>,
    port: u32,
    target: Target,
) -> Result<Delivery> {
    loop {
        match deliver_fast(&mut cx.may_deliver(), vm, port, target) {
            Err(EAGAIN) => vm.shared_info().refresh(cx)?,
            done => return done,
        }
    }
}
