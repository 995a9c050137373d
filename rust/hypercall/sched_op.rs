// SPDX-License-Identifier: GPL-2.0

//! `HYPERVISOR_sched_op`: yields, and waits for events.

use super::{to_guest, Handled};
use crate::{
    abi::{
        hypercall::{SchedPoll, MAX_POLL_PORTS, SCHEDOP_POLL, SCHEDOP_YIELD},
        WordSize,
    },
    bindings::KVM_XEN_HVM_CONFIG_EVTCHN_SEND,
    evtchn::poll::{self, Ports},
    kvm::OwnVcpu,
    prelude::*,
    sync::{Ctx, InKvmRun},
};

/// Mostly a vCPU polls for one port, that of a lock which another one holds.
const FEW: u32 = 4;

/// Gives up the CPU for others, or until one of some ports is pending.
pub(super) fn handle(
    cx: &mut Ctx<'_, InKvmRun>,
    vcpu: OwnVcpu<'_>,
    size: WordSize,
    cmd: u32,
    param: u64,
) -> Handled {
    match cmd {
        SCHEDOP_POLL if can_poll(vcpu) => Some(to_guest(poll(cx, vcpu, size, param))),
        // A guest that may not poll yields: it finds nothing pending, and asks again.
        SCHEDOP_POLL | SCHEDOP_YIELD => {
            vcpu.yield_to_others(cx);
            Some(0)
        }
        _ => None,
    }
}

/// Whether events that wake a poller come in through the kernel.
fn can_poll(vcpu: OwnVcpu<'_>) -> bool {
    vcpu.has_kernel_lapic() && vcpu.vm().config_flags() & KVM_XEN_HVM_CONFIG_EVTCHN_SEND != 0
}

/// `SCHEDOP_poll`, with the structure at `param`.
///
/// # Errors
///
/// `EFAULT` when the guest can't read the structure or the ports itself; `EINVAL` for more ports
/// than Xen allows, or one that the guest does not have.
fn poll(cx: &mut Ctx<'_, InKvmRun>, vcpu: OwnVcpu<'_>, size: WordSize, param: u64) -> Result {
    let mut bytes = [0; SchedPoll::MAX_SIZE];
    let read = bytes.get_mut(..SchedPoll::size(size)).ok_or(EFAULT)?;
    vcpu.read_guest(cx, param, read)?;
    let sched_poll = SchedPoll::from_bytes(&bytes, size);

    let (mut few, mut many);
    // Room for the most ports is not cleared where there are few: that takes longer than to poll.
    let bytes = if sched_poll.nr_ports <= FEW {
        few = [[0; 4]; FEW as usize];
        &mut few[..]
    } else {
        many = [[0; 4]; MAX_POLL_PORTS];
        &mut many[..]
    };
    let ports = bytes
        .get_mut(..sched_poll.nr_ports as usize)
        .ok_or(EINVAL)?;
    vcpu.read_guest(cx, sched_poll.ports, ports.as_flattened_mut())?;
    let ports = Ports::new(ports, vcpu.vm().word_size())?;

    poll::wait(cx, vcpu, &ports, sched_poll.timeout);
    Ok(())
}
