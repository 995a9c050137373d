// SPDX-License-Identifier: GPL-2.0

//! Delivery of an event to a port of the guest.
//!
//! An event sets the port's pending bit in `shared_info`. If that was clear and the port is not
//! masked, the vCPU that the port is bound to is told: the bit of the port's word in its
//! `evtchn_pending_sel`, and if that was clear too, its `evtchn_upcall_pending` and a kick, or an
//! interrupt in its local APIC. What is set already was told before.
//!
//! Source: the description of the 2-level ABI in `xen/interface/event_channel.h`.

use super::{poll, port::Port};
use crate::{
    abi::{
        shared_info::{self, SharedInfo},
        vcpu_info::{self, EVTCHN_UPCALL_PENDING},
    },
    bindings,
    kvm::{Target, Vcpu, Vm},
    prelude::*,
    sync::{gpc::Mapping, Ctx, InKvmSrcu, MayDeliver, MayRefresh, MayTryLock, MayWake},
    trace::{self, Delivered},
};
use kernel::ffi::c_int;

/// What became of an event, as KVM has it from whoever sets an interrupt.
///
/// One word, and no `Result`, as it goes through many hands on the way from the interrupt to KVM.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delivery(c_int);

impl Delivery {
    /// The port was pending already, so the guest will look at it anyway.
    const COALESCED: Self = Self(0);
    /// The port is pending now, and the vCPU has been told.
    const RAISED: Self = Self(1);
    /// The port is pending now, but masked: the guest looks when it unmasks it.
    const MASKED: Self = Self(-(bindings::ENOTCONN as c_int));
    /// Nothing has happened: `shared_info` is not mapped, or being mapped, just now.
    pub(crate) const NOT_NOW: Self = Self(-(bindings::EAGAIN as c_int));

    /// Nothing has happened, and won't.
    pub(crate) fn failed(why: Error) -> Self {
        Self(why.to_errno())
    }

    /// The number that stands for it: above 0, raised; 0, coalesced; below, an error, or masked.
    pub(crate) const fn into_raw(self) -> c_int {
        self.0
    }

    /// Whether the event is pending in the guest.
    pub(crate) fn result(self) -> Result {
        if self == Self::MASKED || self.0 >= 0 {
            return Ok(());
        }
        Err(Error::from_errno(self.0))
    }
}

/// Delivers an event without ever waiting. Any context where a lock may be tried.
///
/// Of `vcpu`, where that is known, no more is asked than that it is there; it is searched for by
/// `target` else. [`Delivery::NOT_NOW`] is what [`deliver`] can wait for; it fails with `EINVAL` when
/// the guest has no such vCPU.
pub(crate) fn try_deliver<'a>(
    cx: &mut Ctx<'_, MayDeliver>,
    vm: Vm<'a>,
    port: Port,
    target: Target,
    vcpu: Option<Vcpu<'a>>,
) -> Delivery {
    attempt(cx, vm, port, target, vcpu, false)
}

/// As [`try_deliver`]. `waited`: `shared_info` has been waited for.
#[inline(never)]
fn attempt<'a>(
    cx: &mut Ctx<'_, MayDeliver>,
    vm: Vm<'a>,
    port: Port,
    target: Target,
    vcpu: Option<Vcpu<'a>>,
    waited: bool,
) -> Delivery {
    let Some(page) = vm.shared_info().try_read(cx) else {
        return unmapped(vm, port, target, vcpu, waited);
    };
    let Some(vcpu) = vcpu.or_else(|| vm.target_at_once(page.locked(), target)) else {
        // Searched for without the lock, as that takes a while, and has interrupts off.
        drop(page);
        return search(cx, vm, port, target, waited);
    };
    let to = BoundPort::new(vcpu, port);
    let outcome = to.set_pending(page);
    to.notify(cx, vm, outcome, waited)
}

/// As [`attempt`], where the vCPU has to be searched for.
#[inline(never)]
fn search(
    cx: &mut Ctx<'_, MayDeliver>,
    vm: Vm<'_>,
    port: Port,
    target: Target,
    waited: bool,
) -> Delivery {
    match vm.target(target) {
        Some(vcpu) => attempt(cx, vm, port, target, Some(vcpu), waited),
        None => no_vcpu(vm, port, target, waited),
    }
}

/// As [`attempt`], where `shared_info` is not mapped.
#[cold]
#[inline(never)]
fn unmapped(
    vm: Vm<'_>,
    port: Port,
    target: Target,
    vcpu: Option<Vcpu<'_>>,
    waited: bool,
) -> Delivery {
    // Of a vCPU that is not there, no one waits for the page.
    if vcpu.or_else(|| vm.target(target)).is_none() {
        return no_vcpu(vm, port, target, waited);
    }
    trace::deliver(|| (vm, target.id(), port.nr(), Delivered::NotNow, waited));
    Delivery::NOT_NOW
}

/// What becomes of an event for a vCPU that is not there.
#[cold]
#[inline(never)]
fn no_vcpu(vm: Vm<'_>, port: Port, target: Target, waited: bool) -> Delivery {
    trace::deliver(|| (vm, target.id(), port.nr(), Delivered::Failed, waited));
    Delivery::failed(EINVAL)
}

/// As [`try_deliver`], waiting for `shared_info` to be mapped if it has to. May sleep.
///
/// It fails with `EINVAL` when the guest has no such vCPU, or no `shared_info`; with `EFAULT` when
/// there is no page where that should be.
pub(crate) fn deliver<'a>(
    cx: &mut Ctx<'_, MayRefresh>,
    vm: Vm<'a>,
    port: Port,
    target: Target,
    vcpu: Option<Vcpu<'a>>,
) -> Delivery {
    match try_deliver(&mut cx.may_deliver(), vm, port, target, vcpu) {
        Delivery::NOT_NOW => deliver_refreshed(cx, vm, port, target, vcpu),
        delivery => delivery,
    }
}

/// As [`deliver`], where `shared_info` has to be waited for.
#[cold]
#[inline(never)]
fn deliver_refreshed<'a>(
    cx: &mut Ctx<'_, MayRefresh>,
    vm: Vm<'a>,
    port: Port,
    target: Target,
    vcpu: Option<Vcpu<'a>>,
) -> Delivery {
    loop {
        if let Err(error) = vm.shared_info().refresh(cx) {
            trace::deliver(|| (vm, target.id(), port.nr(), Delivered::Failed, true));
            return Delivery::failed(error);
        }
        let delivery = attempt(&mut cx.may_deliver(), vm, port, target, vcpu, true);
        if delivery != Delivery::NOT_NOW {
            return delivery;
        }
    }
}

/// A port of the guest's, and the vCPU that it is bound to.
#[derive(Clone, Copy)]
pub(super) struct BoundPort<'a> {
    vcpu: Vcpu<'a>,
    port: Port,
}

/// What has been written to the guest, and what is left to do with the page released.
#[derive(Clone, Copy)]
pub(super) enum Outcome {
    /// Nothing is: the port was pending already.
    Coalesced,
    /// The port is pending, and masked.
    Masked,
    /// The port is pending, and the vCPU will see that in its time.
    Raised,
    /// As `Raised`, and the vCPU is to be woken, or kicked out of the guest.
    Unblock,
    /// As `Raised`, and the vCPU is to be interrupted.
    Interrupt,
}

impl Outcome {
    /// As it is traced.
    fn traced(self) -> Delivered {
        match self {
            Self::Coalesced => Delivered::Coalesced,
            Self::Masked => Delivered::Masked,
            Self::Raised => Delivered::Raised,
            Self::Unblock => Delivered::Kick,
            Self::Interrupt => Delivered::Interrupt,
        }
    }
}

impl<'a> BoundPort<'a> {
    /// The port `port`, bound to `vcpu`.
    pub(super) fn new(vcpu: Vcpu<'a>, port: Port) -> Self {
        Self { vcpu, port }
    }

    /// Writes an event to the guest: to `shared_info`, and to the vCPU's `vcpu_info`.
    ///
    /// Both with the page of the first one locked: whoever waits for that lock can tell that an
    /// event is on its way no more.
    #[inline(always)]
    pub(super) fn set_pending(&self, mut page: Mapping<'_, SharedInfo>) -> Outcome {
        let (nr, size) = (self.port.nr(), self.port.word_size());
        if page.test_and_set(&shared_info::evtchn_pending(size), nr) {
            return Outcome::Coalesced;
        }
        if page.test(&shared_info::evtchn_mask(size), nr) {
            return Outcome::Masked;
        }
        let word = self.port.word();
        match self.vcpu.vcpu_info().try_read(&mut page.cx()) {
            Some(info) => {
                if info.test_and_set(&vcpu_info::evtchn_pending_sel(size), word) {
                    return Outcome::Raised;
                }
                info.store(&EVTCHN_UPCALL_PENDING, 1);
                match self.vcpu.upcall_vector() {
                    0 => Outcome::Unblock,
                    _ => Outcome::Interrupt,
                }
            }
            // The page is away. The vCPU brings it back, where it may wait, and does this itself.
            None if self.vcpu.test_and_set_pending_sel(word) => Outcome::Raised,
            None => Outcome::Unblock,
        }
    }

    /// Wakes whom an event that was written is for. `waited`: `shared_info` has been waited for.
    #[inline(always)]
    pub(super) fn notify<H>(
        &self,
        cx: &mut Ctx<'_, H>,
        vm: Vm<'_>,
        outcome: Outcome,
        waited: bool,
    ) -> Delivery
    where
        H: InKvmSrcu + MayTryLock + MayWake,
    {
        trace::deliver(|| {
            let (vcpu, port) = (self.vcpu.id(), self.port.nr());
            (vm, vcpu, port, outcome.traced(), waited)
        });
        // The vCPU that the event is for comes first. Many may poll, and a task that is preempted while
        // it wakes them would leave that one asleep, with the event in its `vcpu_info`.
        match outcome {
            Outcome::Coalesced => return Delivery::COALESCED,
            Outcome::Masked | Outcome::Raised => {}
            Outcome::Unblock => self.vcpu.unblock(cx),
            Outcome::Interrupt => self.vcpu.inject_upcall_vector(cx),
        }
        poll::wake(&mut cx.may_deliver(), vm, self.port);
        match outcome {
            Outcome::Masked => Delivery::MASKED,
            _ => Delivery::RAISED,
        }
    }
}
