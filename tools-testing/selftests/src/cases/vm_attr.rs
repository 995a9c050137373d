// SPDX-License-Identifier: GPL-2.0
//! Attributes of a VM: what is set reads back, what is refused changes nothing.
//! shared_info and the wall clock have files of their own.

use std::os::fd::AsRawFd;
use std::ptr;

use kvm_bindings::{
    kvm_xen_hvm_attr, KVM_XEN_ATTR_TYPE_EVTCHN, KVM_XEN_HVM_CONFIG_RUNSTATE_UPDATE_FLAG,
};
use nix::errno::Errno;

use crate::topic;
use harness::abi::Abi;
use harness::attr::{Payload, INVALID_GFN};
use harness::check::{check_eq, check_err};
use harness::ioctl::raw;
use harness::machine::Machine;
use harness::outcome::Outcome;
use harness::snapshot::Snapshot;
use harness::vm::Vm;

/// What the attributes are before anyone sets them.
fn defaults_of_a_new_vm() -> Outcome {
    let vm = Vm::new()?;
    check_eq("LONG_MODE", vm.long_mode(), Ok(0))?;
    check_eq("SHARED_INFO", vm.shared_info(), Ok(INVALID_GFN))?;
    check_eq("SHARED_INFO_HVA", vm.shared_info_hva(), Ok(0))?;
    check_eq("UPCALL_VECTOR", vm.upcall_vector(), Ok(0))?;
    check_eq("XEN_VERSION", vm.xen_version(), Ok(0))
}

/// LONG_MODE is 0 or 1, and any other value is 1.
fn long_mode_reads_back_as_0_or_1() -> Outcome {
    let vm = Vm::new()?;
    for (set, expected) in [(1, 1), (0, 0), (2, 1), (0, 0), (0xff, 1)] {
        vm.set_long_mode(set)?;
        check_eq(
            format!("LONG_MODE set to {set}"),
            vm.long_mode(),
            Ok(expected),
        )?;
    }
    Ok(())
}

/// Vectors from 0x10 on, and 0 for none.
fn upcall_vector_reads_back() -> Outcome {
    let vm = Vm::new()?;
    for vector in [0x10, 0x20, 0xff, 0] {
        vm.set_upcall_vector(vector)?;
        check_eq("UPCALL_VECTOR", vm.upcall_vector(), Ok(vector))?;
    }
    Ok(())
}

/// Local APICs don't deliver vectors below 0x10.
fn upcall_vector_from_1_to_15_is_einval() -> Outcome {
    let machine = Machine::new(Abi::Bits64)?;
    machine.vm.set_upcall_vector(0x30)?;
    let before = Snapshot::of(&machine);
    for vector in 1..0x10 {
        let result = machine.vm.set_upcall_vector(vector);
        check_err(format!("UPCALL_VECTOR {vector:#x}"), result, Errno::EINVAL)?;
        before.check(&machine)?;
    }
    Ok(())
}

/// XEN_VERSION is any 32-bit word.
fn xen_version_reads_back() -> Outcome {
    let vm = Vm::new()?;
    for version in [0x4_000a, u32::MAX, 1, 0] {
        vm.set_xen_version(version)?;
        check_eq("XEN_VERSION", vm.xen_version(), Ok(version))?;
    }
    Ok(())
}

/// RUNSTATE_UPDATE_FLAG is 0 or 1, and any other value is 1.
fn runstate_update_flag_reads_back_as_0_or_1() -> Outcome {
    let vm = Vm::new()?;
    vm.require(
        KVM_XEN_HVM_CONFIG_RUNSTATE_UPDATE_FLAG,
        "RUNSTATE_UPDATE_FLAG",
    )?;
    check_eq("flag of a new VM", vm.runstate_update_flag(), Ok(0))?;
    for (set, expected) in [(1, 1), (0, 0), (0x80, 1)] {
        vm.set_runstate_update_flag(set)?;
        check_eq(
            format!("RUNSTATE_UPDATE_FLAG set to {set}"),
            vm.runstate_update_flag(),
            Ok(expected),
        )?;
    }
    Ok(())
}

/// Ports are set one by one; there is nothing to read.
fn evtchn_cannot_be_read() -> Outcome {
    let vm = Vm::new()?;
    check_err("EVTCHN", vm.attr(KVM_XEN_ATTR_TYPE_EVTCHN), Errno::ENOENT)
}

/// Types past the last one, and at the end of their range.
fn unknown_types_are_enoent() -> Outcome {
    let machine = Machine::new(Abi::Bits64)?;
    let before = Snapshot::of(&machine);
    for kind in [7, 8, 0x100, 0x8000, 0xffff] {
        let payload: Payload = [1; 8];
        let set = machine.vm.set_attr(kind, payload);
        check_err(format!("set of type {kind}"), set, Errno::ENOENT)?;
        let get = machine.vm.attr(kind);
        check_err(format!("get of type {kind}"), get, Errno::ENOENT)?;
        before.check(&machine)?;
    }
    Ok(())
}

/// Setting one attribute leaves the others alone.
fn attributes_do_not_affect_each_other() -> Outcome {
    let vm = Vm::new()?;
    vm.set_long_mode(1)?;
    vm.set_upcall_vector(0x41)?;
    vm.set_xen_version(0x4_0011)?;
    check_eq("LONG_MODE", vm.long_mode(), Ok(1))?;
    check_eq("UPCALL_VECTOR", vm.upcall_vector(), Ok(0x41))?;
    check_eq("XEN_VERSION", vm.xen_version(), Ok(0x4_0011))?;
    vm.set_long_mode(0)?;
    check_eq("UPCALL_VECTOR", vm.upcall_vector(), Ok(0x41))?;
    check_eq("XEN_VERSION", vm.xen_version(), Ok(0x4_0011))?;
    vm.set_xen_version(0)?;
    check_eq("UPCALL_VECTOR", vm.upcall_vector(), Ok(0x41))?;
    check_eq("LONG_MODE", vm.long_mode(), Ok(0))?;
    check_eq("SHARED_INFO", vm.shared_info(), Ok(INVALID_GFN))
}

/// Another VM has attributes of its own.
fn attributes_belong_to_one_vm() -> Outcome {
    let (vm, other) = (Vm::new()?, Vm::new()?);
    vm.set_long_mode(1)?;
    vm.set_upcall_vector(0x42)?;
    vm.set_xen_version(5)?;
    check_eq("the other's LONG_MODE", other.long_mode(), Ok(0))?;
    check_eq("the other's UPCALL_VECTOR", other.upcall_vector(), Ok(0))?;
    check_eq("the other's XEN_VERSION", other.xen_version(), Ok(0))
}

/// An attribute that can't be copied in or out.
fn bad_pointers_are_efault() -> Outcome {
    let machine = Machine::new(Abi::Bits64)?;
    let before = Snapshot::of(&machine);
    let fd = machine.vm.fd.as_raw_fd();
    let nowhere = ptr::without_provenance_mut::<kvm_xen_hvm_attr>(8);
    // SAFETY: the kernel checks the pointer, which is what the case is about.
    let set = unsafe { raw::xen_hvm_set_attr(fd, nowhere) };
    check_err("KVM_XEN_HVM_SET_ATTR", set, Errno::EFAULT)?;
    // SAFETY: the same.
    let get = unsafe { raw::xen_hvm_get_attr(fd, nowhere) };
    check_err("KVM_XEN_HVM_GET_ATTR", get, Errno::EFAULT)?;
    before.check(&machine)
}

/// A result that can't be copied out, though the request can be read.
fn read_only_result_is_efault() -> Outcome {
    static REQUEST: kvm_xen_hvm_attr = kvm_xen_hvm_attr {
        type_: kvm_bindings::KVM_XEN_ATTR_TYPE_LONG_MODE as u16,
        pad: [0; 3],
        u: kvm_bindings::kvm_xen_hvm_attr__bindgen_ty_1 { pad: [0; 8] },
    };
    let vm = Vm::new()?;
    let request = ptr::from_ref(&REQUEST).cast_mut();
    // SAFETY: REQUEST lies in a read-only section; the kernel's write to it
    // fails, which is what the case is about.
    let get = unsafe { raw::xen_hvm_get_attr(vm.fd.as_raw_fd(), request) };
    check_err("KVM_XEN_HVM_GET_ATTR", get, Errno::EFAULT)
}

topic! { "vm_attr";
    once defaults_of_a_new_vm,
    once long_mode_reads_back_as_0_or_1,
    once upcall_vector_reads_back,
    once upcall_vector_from_1_to_15_is_einval,
    once xen_version_reads_back,
    once runstate_update_flag_reads_back_as_0_or_1,
    once evtchn_cannot_be_read,
    once unknown_types_are_enoent,
    once attributes_do_not_affect_each_other,
    once attributes_belong_to_one_vm,
    once bad_pointers_are_efault,
    once read_only_result_is_efault,
}
