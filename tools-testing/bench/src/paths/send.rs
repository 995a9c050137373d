// SPDX-License-Identifier: GPL-2.0
//! The ioctl `KVM_XEN_HVM_EVTCHN_SEND`.

use kvm_bindings::kvm_irq_routing_xen_evtchn;
use nix::errno::Errno;

use harness::abi::Abi;
use harness::check::check_eq;
use harness::ioctl;
use harness::machine::{Machine, SHARED_INFO_PAGE};
use harness::outcome::Outcome;
use harness::vm::PRIORITY;

use super::Path;
use crate::sample::{Samples, MANY};

/// The port that events are sent to.
pub const PORT: u32 = 77;
/// The vector of upcalls, where they have one.
const VECTOR: u8 = 0x40;

const FLOOR: &str = "send/rejected";

/// What is so when an event is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// The port is pending.
    Pending,
    /// The port is masked.
    Masked,
    /// Neither, and no event is pending.
    Clear,
    /// Neither, and `shared_info` is not mapped.
    Away,
}

impl Before {
    /// Has it so at vCPU `index`.
    pub fn set(self, machine: &Machine, index: usize) -> Outcome {
        machine.vcpu_info(index).acknowledge();
        if self == Before::Away {
            // The page that comes in its place is clear.
            return machine.area.discard(SHARED_INFO_PAGE);
        }
        let info = machine.shared_info();
        info.set_pending(PORT, self == Before::Pending);
        info.set_masked(PORT, self == Before::Masked);
        Ok(())
    }
}

/// Sends to vCPU `index` of those with these numbers.
fn send(ids: &[u32], index: usize, before: Before, vector: u8) -> Outcome<Samples> {
    let machine = Machine::builder(Abi::Bits64).vcpus(ids).build()?;
    if vector != 0 {
        machine.vcpus[index].enable_lapic()?;
        machine.vcpus[index].set_upcall_vector(vector)?;
    }
    send_to(&machine, ids[index], index, before)
}

/// Sends to the vCPU with the number `id` and this index.
pub fn send_to(machine: &Machine, id: u32, index: usize, before: Before) -> Outcome<Samples> {
    let event = kvm_irq_routing_xen_evtchn {
        port: PORT,
        vcpu: id,
        priority: PRIORITY,
    };
    Samples::of(
        MANY,
        || before.set(machine, index),
        || Ok(ioctl::xen_hvm_evtchn_send(&machine.vm.fd, &event)?),
    )
}

fn rejected() -> Outcome<Samples> {
    let machine = Machine::new(Abi::Bits64)?;
    let event = kvm_irq_routing_xen_evtchn {
        port: 0,
        vcpu: 0,
        priority: PRIORITY,
    };
    let call = || {
        let result = ioctl::xen_hvm_evtchn_send(&machine.vm.fd, &event);
        check_eq("result", result, Err(Errno::EINVAL))
    };
    Samples::of(MANY, || Ok(()), call)
}

pub fn paths() -> Vec<Path> {
    let above = |name: &str, ids: &'static [u32], index, before, vector| {
        let measure = move || send(ids, index, before, vector);
        Path::above(FLOOR, format!("send/{name}"), measure)
    };
    vec![
        Path::floor(FLOOR, rejected),
        above("coalesced", &[0], 0, Before::Pending, 0),
        above("masked", &[0], 0, Before::Masked, 0),
        above("raised", &[0], 0, Before::Clear, 0),
        above("raised-with-vector", &[0], 0, Before::Clear, VECTOR),
        above("raised-at-another-vcpu", &[0, 1], 1, Before::Clear, 0),
        above(
            "raised-where-id-is-not-index",
            &[0, 9, 5],
            2,
            Before::Clear,
            0,
        ),
        above("raised-where-page-is-away", &[0], 0, Before::Away, 0),
    ]
}
