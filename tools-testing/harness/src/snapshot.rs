// SPDX-License-Identifier: GPL-2.0
//! Everything that can be read back of a guest, to see that a refused call has
//! changed nothing.

use kvm_bindings::*;
use nix::errno::Errno;

use super::check::check_eq;
use super::image::Image;
use super::machine::Machine;
use super::outcome::Outcome;

type Attributes = Vec<(String, Result<u64, Errno>)>;

const VM_ATTRS: [(&str, u32); 6] = [
    ("LONG_MODE", KVM_XEN_ATTR_TYPE_LONG_MODE),
    ("SHARED_INFO", KVM_XEN_ATTR_TYPE_SHARED_INFO),
    ("SHARED_INFO_HVA", KVM_XEN_ATTR_TYPE_SHARED_INFO_HVA),
    ("UPCALL_VECTOR", KVM_XEN_ATTR_TYPE_UPCALL_VECTOR),
    ("XEN_VERSION", KVM_XEN_ATTR_TYPE_XEN_VERSION),
    (
        "RUNSTATE_UPDATE_FLAG",
        KVM_XEN_ATTR_TYPE_RUNSTATE_UPDATE_FLAG,
    ),
];

// Runstates are not here: their times go on.
const VCPU_ATTRS: [(&str, u32); 7] = [
    ("VCPU_INFO", KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO),
    ("VCPU_INFO_HVA", KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO_HVA),
    ("VCPU_TIME_INFO", KVM_XEN_VCPU_ATTR_TYPE_VCPU_TIME_INFO),
    ("RUNSTATE_ADDR", KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADDR),
    ("VCPU_ID", KVM_XEN_VCPU_ATTR_TYPE_VCPU_ID),
    ("TIMER", KVM_XEN_VCPU_ATTR_TYPE_TIMER),
    ("UPCALL_VECTOR", KVM_XEN_VCPU_ATTR_TYPE_UPCALL_VECTOR),
];

/// Attributes and guest memory at one moment.
pub struct Snapshot {
    attributes: Attributes,
    image: Image,
}

impl Snapshot {
    /// Reads everything.
    pub fn of(machine: &Machine) -> Self {
        Self {
            attributes: attributes(machine),
            image: machine.image(),
        }
    }

    /// Fails if anything has changed since.
    #[track_caller]
    pub fn check(&self, machine: &Machine) -> Outcome {
        for ((name, before), (_, now)) in self.attributes.iter().zip(attributes(machine)) {
            check_eq(format!("{name} after a refused call"), now, *before)?;
        }
        self.image.check(&machine.area)
    }
}

fn attributes(machine: &Machine) -> Attributes {
    let of_vm = VM_ATTRS.iter().map(|(name, kind)| {
        let value = machine.vm.attr(*kind).map(|payload| payload[0]);
        (name.to_string(), value)
    });
    let of_vcpus = machine.vcpus.iter().flat_map(|vcpu| {
        VCPU_ATTRS.iter().map(move |(name, kind)| {
            let value = vcpu.attr(*kind).map(|payload| payload[0]);
            (format!("{name} of vCPU {}", vcpu.id), value)
        })
    });
    of_vm.chain(of_vcpus).collect()
}
