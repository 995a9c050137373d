// SPDX-License-Identifier: GPL-2.0
//! Guests that wait by SCHEDOP_poll.

use std::time::Duration;

use kvm_bindings::KVM_XEN_HVM_CONFIG_EVTCHN_SEND;
use kvm_xen_ioctls::intercept_hypercalls;

use super::check::check_eq;
use super::detached::Detached;
use super::guest_cpu::DATA;
use super::machine::Machine;
use super::outcome::Outcome;
use super::vcpu::Exit;
use super::vm::HYPERCALL_MSR;
use crate::abi::sched::{sched_poll, SCHEDOP_POLL, SCHED_OP};
use crate::abi::Abi;

/// Where the guest has struct sched_poll, and its ports.
pub const POLL: u64 = DATA;
/// The ports.
pub const PORTS: u64 = DATA + 0x100;

/// Time after which a vCPU that still polls is taken to sleep. Too short a time
/// fails no case, but then less is tested.
pub const ASLEEP: Duration = Duration::from_millis(50);
/// Time in which a poller must wake up.
pub const AWAKE: Duration = Duration::from_secs(5);

/// A guest that may poll: KVM knows EVTCHN_SEND, and vCPU 0 can make hypercalls.
pub fn polling_guest(abi: Abi, vcpus: &[u32]) -> Outcome<Machine> {
    let mut machine = Machine::builder(abi).vcpus(vcpus).build()?;
    let config = intercept_hypercalls(HYPERCALL_MSR, KVM_XEN_HVM_CONFIG_EVTCHN_SEND);
    machine.vm.xen_config(&config)?;
    machine.boot_with_hypercalls(0)?;
    Ok(machine)
}

impl Machine {
    /// Writes the arguments of a poll.
    pub fn write_poll(&self, ports: &[u32], timeout: u64) -> Outcome {
        let bytes: Vec<u8> = ports.iter().flat_map(|port| port.to_le_bytes()).collect();
        self.ram.write(PORTS, &bytes)?;
        let poll = sched_poll(self.abi, PORTS, ports.len() as u32, timeout);
        self.ram.write(POLL, &poll)
    }

    /// Has vCPU 0 poll, in a thread of its own.
    pub fn begin_poll(&mut self, ports: &[u32], timeout: u64) -> Outcome<Detached> {
        self.write_poll(ports, timeout)?;
        self.begin_call(SCHED_OP, &[SCHEDOP_POLL, POLL])
    }
}

/// Fails unless the poll has ended within `within`, with result 0; returns how
/// long it took.
#[track_caller]
pub fn poll_ends(poll: Detached, machine: &mut Machine, within: Duration) -> Outcome<Duration> {
    let index = poll.index();
    let (exit, time) = poll.back(machine, within)?;
    check_eq("exit of a poll", exit, Exit::Done)?;
    check_eq("result of a poll", machine.vcpus[index].result()?, 0)?;
    Ok(time)
}
