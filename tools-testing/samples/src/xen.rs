// SPDX-License-Identifier: GPL-2.0
//! KVM's Xen ioctls, and the guest's side of them.

use std::os::fd::AsRawFd;

use anyhow::{ensure, Context, Result};
use kvm_bindings::*;
use kvm_ioctls::{VcpuFd, VmFd};
use nix::errno::Errno;

use crate::guest::{Instruction, Vm};

/// The MSR by which the guest asks for its hypercall page.
const HYPERCALL_MSR: u32 = 0x4000_0200;
/// Where the page is.
const HYPERCALL_PAGE: usize = 0x2000;
/// Where the shared_info page is.
const SHARED_INFO: usize = 0x4000;
/// The only priority there is.
const PRIORITY: u32 = u32::MAX;

mod raw {
    use super::*;

    const KVMIO: u8 = 0xae;

    nix::ioctl_write_ptr!(hvm_config, KVMIO, 0x7a, kvm_xen_hvm_config);
    nix::ioctl_write_ptr!(hvm_set_attr, KVMIO, 0xc9, kvm_xen_hvm_attr);
    nix::ioctl_write_ptr!(vcpu_set_attr, KVMIO, 0xcb, kvm_xen_vcpu_attr);
}

/// KVM_XEN_HVM_CONFIG: KVM handles hypercalls.
pub fn intercept_hypercalls(vm: &VmFd) -> Result<()> {
    let config = kvm_xen_hvm_config {
        flags: KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL,
        msr: HYPERCALL_MSR,
        ..Default::default()
    };
    // SAFETY: the pointer comes from a reference to the type that the ioctl takes.
    unsafe { raw::hvm_config(vm.as_raw_fd(), &config) }.context("KVM_XEN_HVM_CONFIG")?;
    Ok(())
}

/// KVM_XEN_HVM_SET_ATTR.
fn set_vm_attr(vm: &VmFd, attr: &kvm_xen_hvm_attr) -> Result<()> {
    // SAFETY: the pointer comes from a reference to the type that the ioctl takes.
    unsafe { raw::hvm_set_attr(vm.as_raw_fd(), attr) }.context("KVM_XEN_HVM_SET_ATTR")?;
    Ok(())
}

/// KVM_XEN_VCPU_SET_ATTR.
fn set_vcpu_attr(vcpu: &VcpuFd, attr: &kvm_xen_vcpu_attr) -> Result<()> {
    // SAFETY: the pointer comes from a reference to the type that the ioctl takes.
    unsafe { raw::vcpu_set_attr(vcpu.as_raw_fd(), attr) }.context("KVM_XEN_VCPU_SET_ATTR")?;
    Ok(())
}

/// Gives the guest a shared_info page, with the vcpu_info of the only vCPU in it.
pub fn map_shared_info(vm: &Vm) -> Result<()> {
    let mut attr = kvm_xen_hvm_attr {
        type_: KVM_XEN_ATTR_TYPE_SHARED_INFO as u16,
        ..Default::default()
    };
    attr.u.shared_info.gfn = (SHARED_INFO >> 12) as u64;
    set_vm_attr(vm.fd(), &attr)?;

    let mut attr = kvm_xen_vcpu_attr {
        type_: KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO as u16,
        ..Default::default()
    };
    attr.u.gpa = SHARED_INFO as u64;
    set_vcpu_attr(vm.vcpu(), &attr)
}

/// Assigns a port from which the guest sends events to itself.
pub fn assign(vm: &Vm, port: u32) -> Result<()> {
    const STATUS_IPI: u32 = 5;

    let mut attr = ports(port, 0);
    attr.u.evtchn.type_ = STATUS_IPI;
    attr.u.evtchn.deliver.port.port = port;
    attr.u.evtchn.deliver.port.priority = PRIORITY;
    set_vm_attr(vm.fd(), &attr)
}

/// Takes back all ports.
pub fn reset(vm: &Vm) -> Result<()> {
    set_vm_attr(vm.fd(), &ports(0, KVM_XEN_EVTCHN_RESET))
}

/// Takes back a port; whether it was there.
pub fn deassign(vm: &Vm, port: u32) -> Result<bool> {
    match set_vm_attr(vm.fd(), &ports(port, KVM_XEN_EVTCHN_DEASSIGN)) {
        Err(error) if error.downcast_ref() == Some(&Errno::ENOENT) => Ok(false),
        result => result.map(|()| true),
    }
}

fn ports(port: u32, flags: u32) -> kvm_xen_hvm_attr {
    let mut attr = kvm_xen_hvm_attr {
        type_: KVM_XEN_ATTR_TYPE_EVTCHN as u16,
        ..Default::default()
    };
    attr.u.evtchn.send_port = port;
    attr.u.evtchn.flags = flags;
    attr
}

/// Sets the vCPU's timer.
pub fn set_timer(vm: &Vm, port: u32, expires_ns: u64) -> Result<()> {
    let mut attr = kvm_xen_vcpu_attr {
        type_: KVM_XEN_VCPU_ATTR_TYPE_TIMER as u16,
        ..Default::default()
    };
    attr.u.timer.port = port;
    attr.u.timer.priority = PRIORITY;
    attr.u.timer.expires_ns = expires_ns;
    set_vcpu_attr(vm.vcpu(), &attr)
}

/// Whether an event of this port is pending. The guest has the 32-bit layout.
pub fn is_pending(vm: &Vm, port: u32) -> Result<bool> {
    const PENDING: usize = 0x800;
    let word = vm.read_u32(SHARED_INFO + PENDING + port as usize / 32 * 4)?;
    Ok(word & (1 << (port % 32)) != 0)
}

/// Has the guest ask for its hypercall page.
pub fn write_hypercall_page(vm: &mut Vm) -> Result<()> {
    let regs = kvm_regs {
        rcx: HYPERCALL_MSR.into(),
        rax: HYPERCALL_PAGE as u64,
        ..Default::default()
    };
    vm.run(Instruction::Wrmsr, regs)?;
    ensure!(
        vm.read_u32(HYPERCALL_PAGE)? != 0,
        "the hypercall page is not written"
    );
    Ok(())
}

/// Has the guest send an event, by EVTCHNOP_send.
pub fn send(vm: &mut Vm, port: u32) -> Result<()> {
    const ARGUMENT: usize = 0x3000;
    const EVENT_CHANNEL_OP: u64 = 32;
    const SEND: u64 = 4;

    vm.write(ARGUMENT, &port.to_le_bytes())?;
    let regs = kvm_regs {
        rax: EVENT_CHANNEL_OP,
        rbx: SEND,
        rcx: ARGUMENT as u64,
        ..Default::default()
    };
    let result = vm.run(Instruction::Hypercall, regs)?.rax;
    ensure!(result == 0, "EVTCHNOP_send returns {result:#x}");
    ensure!(is_pending(vm, port)?, "port {port} is not pending");
    Ok(())
}
