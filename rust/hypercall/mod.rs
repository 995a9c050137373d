// SPDX-License-Identifier: GPL-2.0

//! Hypercalls that the kernel handles, and the way to the VMM for all others.

#![forbid(unsafe_code)]

mod event_channel_op;
pub(crate) mod page;
mod sched_op;
mod set_timer_op;
mod vcpu_op;
mod xen_version;

use crate::{
    abi::{hypercall::number, WordSize},
    kvm::{
        exit,
        hypercall::{Call, Next},
        trace, OwnVcpu,
    },
    prelude::*,
    sync::{Ctx, InKvmRun},
};

/// What a hypercall returns to the guest, if the kernel handles it: 0 or more, or an error.
type Handled = Option<u64>;

/// Takes a hypercall from the guest.
pub(crate) fn take(cx: &mut Ctx<'_, InKvmRun>, vcpu: OwnVcpu<'_>) -> Next {
    if let Some(done) = vcpu.take_hyperv_hypercall(cx) {
        return done;
    }
    let call = vcpu.hypercall(cx);
    trace::hypercall(&call);

    // The guest's user space has few hypercalls that it may make, and the VMM knows which.
    let handled = if call.cpl == 0 {
        handle(cx, vcpu, &call)
    } else {
        None
    };
    match handled {
        Some(result) => exit::complete(cx, vcpu, result),
        None => exit::to_vmm(cx, vcpu, &call),
    }
}

/// What the guest finds in its register: 0, or the error.
fn to_guest(result: Result) -> u64 {
    result.map_or_else(|error| i64::from(error.to_errno()) as u64, |()| 0)
}

/// Handles a hypercall of the guest's kernel, if that is done here.
fn handle(cx: &mut Ctx<'_, InKvmRun>, vcpu: OwnVcpu<'_>, call: &Call) -> Handled {
    let [a0, a1, a2, ..] = call.params;
    match call.nr {
        number::XEN_VERSION => xen_version::handle(vcpu, a0),
        number::EVENT_CHANNEL_OP => event_channel_op::handle(cx, vcpu, a0, a1),
        number::SCHED_OP => sched_op::handle(cx, vcpu, call.size, a0 as u32, a1),
        number::VCPU_OP => vcpu_op::handle(cx, vcpu, call.size, a0 as u32, a1 as u32, a2),
        number::SET_TIMER_OP => {
            let timeout = match call.size {
                WordSize::Bits64 => a0,
                // In two registers.
                WordSize::Bits32 => a0 | a1 << 32,
            };
            set_timer_op::handle(cx, vcpu, timeout)
        }
        _ => None,
    }
}
