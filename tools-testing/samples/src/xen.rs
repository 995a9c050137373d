// SPDX-License-Identifier: GPL-2.0
//! KVM's Xen ioctls, and the guest's side of them.

use anyhow::{ensure, Context, Result};
use kvm_bindings::kvm_regs;
use kvm_ioctls::VmFd;
use kvm_xen_ioctls::{
    XenEvtchn, XenEvtchnTarget, XenTimer, XenVcpu, XenVcpuAttr, XenVm, XenVmAttr,
};

use crate::guest::{Instruction, Vm};

/// The MSR by which the guest asks for its hypercall page.
const HYPERCALL_MSR: u32 = 0x4000_0200;
/// Where the page is.
const HYPERCALL_PAGE: usize = 0x2000;
/// Where the shared_info page is.
const SHARED_INFO: usize = 0x4000;

/// KVM_XEN_HVM_CONFIG: KVM handles hypercalls.
pub fn intercept_hypercalls(vm: &VmFd) -> Result<()> {
    vm.set_xen_config(&kvm_xen_ioctls::intercept_hypercalls(HYPERCALL_MSR, 0))
        .context("KVM_XEN_HVM_CONFIG")
}

/// KVM_XEN_HVM_SET_ATTR.
fn set_vm_attr(vm: &VmFd, attr: XenVmAttr) -> Result<()> {
    vm.set_xen_attr(attr).context("KVM_XEN_HVM_SET_ATTR")
}

/// KVM_XEN_VCPU_SET_ATTR, of the only vCPU.
fn set_vcpu_attr(vm: &Vm, attr: XenVcpuAttr) -> Result<()> {
    let result = vm.vcpu().set_xen_attr(attr);
    result.context("KVM_XEN_VCPU_SET_ATTR")
}

/// Gives the guest a shared_info page, with the vcpu_info of the only vCPU in it.
pub fn map_shared_info(vm: &Vm) -> Result<()> {
    let gfn = (SHARED_INFO >> 12) as u64;
    set_vm_attr(vm.fd(), XenVmAttr::SharedInfo(Some(gfn)))?;
    set_vcpu_attr(vm, XenVcpuAttr::VcpuInfo(Some(SHARED_INFO as u64)))
}

/// Assigns a port from which the guest sends events to itself.
pub fn assign(vm: &Vm, port: u32) -> Result<()> {
    let assign = XenEvtchn::Assign {
        send_port: port,
        target: XenEvtchnTarget::Ipi { vcpu: 0 },
    };
    set_vm_attr(vm.fd(), XenVmAttr::Evtchn(assign))
}

/// Takes back all ports.
pub fn reset(vm: &Vm) -> Result<()> {
    set_vm_attr(vm.fd(), XenVmAttr::Evtchn(XenEvtchn::Reset))
}

/// Takes back a port; whether it was there.
pub fn deassign(vm: &Vm, port: u32) -> Result<bool> {
    let deassign = XenEvtchn::Deassign { send_port: port };
    match vm.fd().set_xen_attr(XenVmAttr::Evtchn(deassign)) {
        Err(error) if error.errno() == libc::ENOENT => Ok(false),
        result => result.context("KVM_XEN_HVM_SET_ATTR").map(|()| true),
    }
}

/// Sets the vCPU's timer.
pub fn set_timer(vm: &Vm, port: u32, expires_ns: u64) -> Result<()> {
    set_vcpu_attr(vm, XenVcpuAttr::Timer(XenTimer { port, expires_ns }))
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
