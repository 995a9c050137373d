// SPDX-License-Identifier: GPL-2.0
//! Attributes of VMs and vCPUs, set and got.

use kvm_bindings::*;
use nix::errno::Errno;

use harness::abi::Abi;
use harness::attr::{timer, word, Payload};
use harness::check::check_eq;
use harness::ioctl;
use harness::machine::{Machine, SHARED_INFO_PAGE, SPARE_PAGE};
use harness::memory::Area;
use harness::outcome::Outcome;
use harness::runstate;

use super::Path;
use crate::sample::{Samples, MANY};

/// No attribute has this number.
const NONE: u32 = 0x7f;

const VM_SET: &str = "vm-attr/set-none";
const VM_GET: &str = "vm-attr/get-none";
const VCPU_SET: &str = "vcpu-attr/set-none";
const VCPU_GET: &str = "vcpu-attr/get-none";

/// What a call with [`NONE`] returns is an error.
fn expected(kind: u32) -> nix::Result<()> {
    match kind {
        NONE => Err(Errno::ENOENT),
        _ => Ok(()),
    }
}

/// A guest with all its structures.
fn guest() -> Outcome<Machine> {
    let machine = Machine::new(Abi::Bits64)?;
    let vcpu = &machine.vcpus[0];
    runstate::set_address(vcpu, Area::gpa(SPARE_PAGE, runstate::OFFSET))?;
    vcpu.set_attr(
        KVM_XEN_VCPU_ATTR_TYPE_VCPU_TIME_INFO,
        word(Area::gpa(SPARE_PAGE, 0)),
    )?;
    Ok(machine)
}

fn vm_set(kind: u32, payload: Payload) -> Outcome<Samples> {
    let machine = guest()?;
    let mut attr = kvm_xen_hvm_attr {
        type_: kind as u16,
        ..Default::default()
    };
    attr.u.pad = payload;
    let call = || {
        let result = ioctl::xen_hvm_set_attr(&machine.vm.fd, &attr);
        check_eq("result", result, expected(kind))
    };
    Samples::of(MANY, || Ok(()), call)
}

fn vm_get(kind: u32) -> Outcome<Samples> {
    let machine = guest()?;
    let mut attr = kvm_xen_hvm_attr {
        type_: kind as u16,
        ..Default::default()
    };
    let call = || {
        let result = ioctl::xen_hvm_get_attr(&machine.vm.fd, &mut attr);
        check_eq("result", result, expected(kind))
    };
    Samples::of(MANY, || Ok(()), call)
}

fn vcpu_set(kind: u32, payload: Payload) -> Outcome<Samples> {
    let machine = guest()?;
    let mut attr = kvm_xen_vcpu_attr {
        type_: kind as u16,
        ..Default::default()
    };
    attr.u.pad = payload;
    let call = || {
        let result = ioctl::xen_vcpu_set_attr(&machine.vcpus[0].fd, &attr);
        check_eq("result", result, expected(kind))
    };
    Samples::of(MANY, || Ok(()), call)
}

fn vcpu_get(kind: u32) -> Outcome<Samples> {
    let machine = guest()?;
    let mut attr = kvm_xen_vcpu_attr {
        type_: kind as u16,
        ..Default::default()
    };
    let call = || {
        let result = ioctl::xen_vcpu_get_attr(&machine.vcpus[0].fd, &mut attr);
        check_eq("result", result, expected(kind))
    };
    Samples::of(MANY, || Ok(()), call)
}

/// Attributes of a VM, and a value to set.
fn of_vm() -> [(&'static str, u32, u64); 6] {
    [
        ("long-mode", KVM_XEN_ATTR_TYPE_LONG_MODE, 1),
        (
            "shared-info",
            KVM_XEN_ATTR_TYPE_SHARED_INFO,
            Area::gfn(SHARED_INFO_PAGE),
        ),
        ("upcall-vector", KVM_XEN_ATTR_TYPE_UPCALL_VECTOR, 0x40),
        ("xen-version", KVM_XEN_ATTR_TYPE_XEN_VERSION, 0x4000a),
        (
            "runstate-update-flag",
            KVM_XEN_ATTR_TYPE_RUNSTATE_UPDATE_FLAG,
            1,
        ),
        ("shared-info-hva", KVM_XEN_ATTR_TYPE_SHARED_INFO_HVA, 0),
    ]
}

/// Attributes of a vCPU, and a value to set.
fn of_vcpu() -> [(&'static str, u32, Payload); 9] {
    let runnable = KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_CURRENT;
    [
        (
            "vcpu-info",
            KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO,
            word(Area::gpa(1, 0)),
        ),
        (
            "time-info",
            KVM_XEN_VCPU_ATTR_TYPE_VCPU_TIME_INFO,
            word(Area::gpa(SPARE_PAGE, 0)),
        ),
        (
            "runstate-addr",
            KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADDR,
            word(Area::gpa(SPARE_PAGE, runstate::OFFSET)),
        ),
        ("runstate-running", runnable, word(0_u64)),
        ("runstate-runnable", runnable, word(1_u64)),
        (
            "runstate-data",
            KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_DATA,
            Payload::default(),
        ),
        ("vcpu-id", KVM_XEN_VCPU_ATTR_TYPE_VCPU_ID, word(0_u64)),
        ("timer", KVM_XEN_VCPU_ATTR_TYPE_TIMER, timer(5, 0)),
        (
            "upcall-vector",
            KVM_XEN_VCPU_ATTR_TYPE_UPCALL_VECTOR,
            word(0x40_u64),
        ),
    ]
}

pub fn paths() -> Vec<Path> {
    let mut paths = vec![
        Path::floor(VM_SET, || vm_set(NONE, Payload::default())),
        Path::floor(VM_GET, || vm_get(NONE)),
        Path::floor(VCPU_SET, || vcpu_set(NONE, Payload::default())),
        Path::floor(VCPU_GET, || vcpu_get(NONE)),
    ];
    for (name, kind, value) in of_vm() {
        let set = move || vm_set(kind, word(value));
        paths.push(Path::above(VM_SET, format!("vm-attr/set-{name}"), set));
        let get = move || vm_get(kind);
        paths.push(Path::above(VM_GET, format!("vm-attr/get-{name}"), get));
    }
    for (name, kind, value) in of_vcpu() {
        let set = move || vcpu_set(kind, value);
        paths.push(Path::above(VCPU_SET, format!("vcpu-attr/set-{name}"), set));
        if name != "runstate-runnable" {
            let get = move || vcpu_get(kind);
            paths.push(Path::above(VCPU_GET, format!("vcpu-attr/get-{name}"), get));
        }
    }
    paths
}
