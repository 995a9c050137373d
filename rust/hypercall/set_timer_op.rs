// SPDX-License-Identifier: GPL-2.0

//! `HYPERVISOR_set_timer_op`.

use super::Handled;
use crate::{
    kvm::OwnVcpu,
    sync::{Ctx, InKvmRun},
    vcpu::timer::{self, Kind},
};

/// Sets the vCPU's timer to `timeout`, or stops it for 0.
pub(super) fn handle(cx: &mut Ctx<'_, InKvmRun>, vcpu: OwnVcpu<'_>, timeout: u64) -> Handled {
    if vcpu.timer_virq() == 0 {
        return None;
    }
    if timeout == 0 {
        timer::stop(cx, vcpu);
    } else {
        timer::start(&mut cx.may_refresh(), vcpu, timeout, Kind::LinuxWorkaround);
    }
    Some(0)
}
