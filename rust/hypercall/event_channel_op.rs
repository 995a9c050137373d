// SPDX-License-Identifier: GPL-2.0

//! `HYPERVISOR_event_channel_op`: sends an event.

use super::{to_guest, Handled};
use crate::{
    abi::hypercall::EVTCHNOP_SEND,
    evtchn::send,
    kvm::OwnVcpu,
    prelude::*,
    sync::{Ctx, InKvmRun},
};

/// Sends an event through the port that the guest has at `param`, if the VMM has assigned that.
pub(super) fn handle(
    cx: &mut Ctx<'_, InKvmRun>,
    vcpu: OwnVcpu<'_>,
    cmd: u64,
    param: u64,
) -> Handled {
    if cmd != EVTCHNOP_SEND {
        return None;
    }
    let mut port = [0; 4];
    if vcpu.read_guest(cx, param, &mut port).is_err() {
        return Some(to_guest(Err(EFAULT)));
    }
    // A port that is not assigned, or that fails, is left to the VMM, which may know it.
    send::from_guest(&mut cx.may_refresh(), vcpu.vm(), u32::from_le_bytes(port))?.ok()?;
    Some(0)
}
