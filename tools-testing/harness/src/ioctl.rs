// SPDX-License-Identifier: GPL-2.0
//! The ioctls that kvm-ioctls has no wrapper for.

use std::os::fd::AsRawFd;

use kvm_bindings::{
    kvm_irq_level, kvm_irq_routing_xen_evtchn, kvm_xen_hvm_attr, kvm_xen_hvm_config,
    kvm_xen_vcpu_attr,
};
use kvm_ioctls::{VcpuFd, VmFd};
use nix::errno::Errno;
use nix::Result;

/// The calls as the kernel has them; the pointers are not checked.
pub mod raw {
    use super::*;

    const KVMIO: u8 = 0xae;

    nix::ioctl_readwrite!(irq_line_status, KVMIO, 0x67, kvm_irq_level);
    nix::ioctl_write_ptr!(xen_hvm_config, KVMIO, 0x7a, kvm_xen_hvm_config);
    nix::ioctl_readwrite!(xen_hvm_get_attr, KVMIO, 0xc8, kvm_xen_hvm_attr);
    nix::ioctl_write_ptr!(xen_hvm_set_attr, KVMIO, 0xc9, kvm_xen_hvm_attr);
    nix::ioctl_readwrite!(xen_vcpu_get_attr, KVMIO, 0xca, kvm_xen_vcpu_attr);
    nix::ioctl_write_ptr!(xen_vcpu_set_attr, KVMIO, 0xcb, kvm_xen_vcpu_attr);
    nix::ioctl_write_ptr!(xen_hvm_evtchn_send, KVMIO, 0xd0, kvm_irq_routing_xen_evtchn);
}

// In each function below the pointer comes from a reference to the type that
// the ioctl's number encodes, so the kernel copies no more than it may.

/// These calls return 0 if they succeed. Another number is told as EPROTO, which
/// KVM never returns.
fn zero(result: Result<i32>) -> Result<()> {
    match result? {
        0 => Ok(()),
        _ => Err(Errno::EPROTO),
    }
}

/// KVM_IRQ_LINE_STATUS: sets the level and returns what came of it.
pub fn irq_line_status(vm: &VmFd, gsi: u32, level: u32) -> Result<i32> {
    let mut line = kvm_irq_level {
        level,
        ..Default::default()
    };
    line.__bindgen_anon_1.irq = gsi;
    // SAFETY: see above.
    zero(unsafe { raw::irq_line_status(vm.as_raw_fd(), &mut line) })?;
    // SAFETY: both fields of the union are 32-bit integers.
    Ok(unsafe { line.__bindgen_anon_1.status })
}

/// KVM_XEN_HVM_CONFIG.
pub fn xen_hvm_config(vm: &VmFd, config: &kvm_xen_hvm_config) -> Result<()> {
    // SAFETY: see above.
    zero(unsafe { raw::xen_hvm_config(vm.as_raw_fd(), config) })
}

/// KVM_XEN_HVM_GET_ATTR.
pub fn xen_hvm_get_attr(vm: &VmFd, attr: &mut kvm_xen_hvm_attr) -> Result<()> {
    // SAFETY: see above.
    zero(unsafe { raw::xen_hvm_get_attr(vm.as_raw_fd(), attr) })
}

/// KVM_XEN_HVM_SET_ATTR.
pub fn xen_hvm_set_attr(vm: &VmFd, attr: &kvm_xen_hvm_attr) -> Result<()> {
    // SAFETY: see above.
    zero(unsafe { raw::xen_hvm_set_attr(vm.as_raw_fd(), attr) })
}

/// KVM_XEN_VCPU_GET_ATTR.
pub fn xen_vcpu_get_attr(vcpu: &VcpuFd, attr: &mut kvm_xen_vcpu_attr) -> Result<()> {
    // SAFETY: see above.
    zero(unsafe { raw::xen_vcpu_get_attr(vcpu.as_raw_fd(), attr) })
}

/// KVM_XEN_VCPU_SET_ATTR.
pub fn xen_vcpu_set_attr(vcpu: &VcpuFd, attr: &kvm_xen_vcpu_attr) -> Result<()> {
    // SAFETY: see above.
    zero(unsafe { raw::xen_vcpu_set_attr(vcpu.as_raw_fd(), attr) })
}

/// KVM_XEN_HVM_EVTCHN_SEND.
pub fn xen_hvm_evtchn_send(vm: &VmFd, event: &kvm_irq_routing_xen_evtchn) -> Result<()> {
    // SAFETY: see above.
    zero(unsafe { raw::xen_hvm_evtchn_send(vm.as_raw_fd(), event) })
}
