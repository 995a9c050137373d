// SPDX-License-Identifier: GPL-2.0

//! What a vCPU is told: events, its runstate, its timer.

#![forbid(unsafe_code)]

pub(crate) mod info;
pub(crate) mod runstate;
pub(crate) mod timer;

use crate::{
    kvm::OwnVcpu,
    sync::{Ctx, Destruction},
};

/// Ends a vCPU that nobody else uses any more. May sleep.
pub(crate) fn destroy(cx: &mut Ctx<'_, Destruction>, vcpu: OwnVcpu<'_>) {
    if vcpu.timer_virq() != 0 {
        timer::cancel(cx, vcpu);
    }
    vcpu.runstate_info().deactivate(cx);
    vcpu.runstate_info_rest().deactivate(cx);
    vcpu.vcpu_info().deactivate(cx);
    vcpu.time_info().deactivate(cx);
    vcpu.cancel_poll_timer(cx);
}
