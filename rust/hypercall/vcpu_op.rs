// SPDX-License-Identifier: GPL-2.0

//! `HYPERVISOR_vcpu_op`: the singleshot timer.

use super::{to_guest, Handled};
use crate::{
    abi::{
        hypercall::{
            singleshot_timer_size, VCPUOP_SET_SINGLESHOT_TIMER, VCPUOP_STOP_SINGLESHOT_TIMER,
            XEN_ID_UNSET,
        },
        WordSize,
    },
    kvm::OwnVcpu,
    prelude::*,
    sync::{Ctx, InKvmRun},
    vcpu::timer::{self, Kind},
};

/// Sets or stops the timer of the vCPU that makes the hypercall, which has to name itself.
pub(super) fn handle(
    cx: &mut Ctx<'_, InKvmRun>,
    vcpu: OwnVcpu<'_>,
    size: WordSize,
    cmd: u32,
    xen_id: u32,
    param: u64,
) -> Handled {
    // A vCPU that has no number can't name itself. The VMM knows which one it is.
    if vcpu.timer_virq() == 0 || vcpu.xen_id() == XEN_ID_UNSET {
        return None;
    }
    match cmd {
        VCPUOP_SET_SINGLESHOT_TIMER | VCPUOP_STOP_SINGLESHOT_TIMER if xen_id != vcpu.xen_id() => {
            Some(to_guest(Err(EINVAL)))
        }
        VCPUOP_SET_SINGLESHOT_TIMER => Some(to_guest(set(cx, vcpu, size, param))),
        VCPUOP_STOP_SINGLESHOT_TIMER => {
            timer::stop(cx, vcpu);
            Some(0)
        }
        _ => None,
    }
}

/// Sets the timer to what the guest has at `param`.
fn set(cx: &mut Ctx<'_, InKvmRun>, vcpu: OwnVcpu<'_>, size: WordSize, param: u64) -> Result {
    let mut bytes = [0; 16];
    let read = bytes.get_mut(..singleshot_timer_size(size)).ok_or(EFAULT)?;
    vcpu.read_guest(cx, param, read)?;
    let [t0, t1, t2, t3, t4, t5, t6, t7, ..] = bytes;
    let timeout = u64::from_le_bytes([t0, t1, t2, t3, t4, t5, t6, t7]);
    timer::start(&mut cx.may_refresh(), vcpu, timeout, Kind::Exact);
    Ok(())
}
