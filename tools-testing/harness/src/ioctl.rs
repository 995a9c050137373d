// SPDX-License-Identifier: GPL-2.0
//! KVM's Xen ioctls with anything that fits in their structures, as VMMs may get it wrong; and what
//! else kvm-ioctls has no wrapper for.

use std::os::fd::AsRawFd;

use kvm_bindings::{
    kvm_irq_level, kvm_irq_routing_xen_evtchn, kvm_xen_hvm_attr, kvm_xen_hvm_config,
    kvm_xen_vcpu_attr,
};
use kvm_ioctls::{VcpuFd, VmFd};
use kvm_xen_ioctls::{XenVcpu, XenVm};
use nix::errno::Errno;
use nix::Result;

use super::vm::errno;

/// The calls as the kernel has them; the pointers are not checked.
pub mod raw {
    use std::os::fd::RawFd;

    use kvm_xen_ioctls::ioctls::*;

    use super::*;

    nix::ioctl_readwrite!(irq_line_status, 0xae, 0x67, kvm_irq_level);

    /// KVM_XEN_HVM_GET_ATTR.
    ///
    /// # Safety
    ///
    /// The kernel may write to what `attr` points to.
    pub unsafe fn xen_hvm_get_attr(fd: RawFd, attr: *mut kvm_xen_hvm_attr) -> Result<i32> {
        // SAFETY: by the contract.
        Errno::result(unsafe { libc::ioctl(fd, KVM_XEN_HVM_GET_ATTR(), attr) })
    }

    /// KVM_XEN_HVM_SET_ATTR.
    ///
    /// # Safety
    ///
    /// The kernel may do what is said where `attr` points to.
    pub unsafe fn xen_hvm_set_attr(fd: RawFd, attr: *const kvm_xen_hvm_attr) -> Result<i32> {
        // SAFETY: by the contract.
        Errno::result(unsafe { libc::ioctl(fd, KVM_XEN_HVM_SET_ATTR(), attr) })
    }

    /// KVM_XEN_HVM_EVTCHN_SEND.
    ///
    /// # Safety
    ///
    /// The kernel may read what `event` points to.
    pub unsafe fn xen_hvm_evtchn_send(
        fd: RawFd,
        event: *const kvm_irq_routing_xen_evtchn,
    ) -> Result<i32> {
        // SAFETY: by the contract.
        Errno::result(unsafe { libc::ioctl(fd, KVM_XEN_HVM_EVTCHN_SEND(), event) })
    }
}

/// KVM_IRQ_LINE_STATUS: sets the level and returns what came of it.
pub fn irq_line_status(vm: &VmFd, gsi: u32, level: u32) -> Result<i32> {
    let mut line = kvm_irq_level {
        level,
        ..Default::default()
    };
    line.__bindgen_anon_1.irq = gsi;
    // SAFETY: the pointer is one to the type that the ioctl takes.
    match unsafe { raw::irq_line_status(vm.as_raw_fd(), &mut line) }? {
        // SAFETY: both fields of the union are 32-bit integers.
        0 => Ok(unsafe { line.__bindgen_anon_1.status }),
        _ => Err(Errno::EPROTO),
    }
}

/// KVM_XEN_HVM_CONFIG.
pub fn xen_hvm_config(vm: &VmFd, config: &kvm_xen_hvm_config) -> Result<()> {
    vm.set_xen_config(config).map_err(errno)
}

/// KVM_XEN_HVM_GET_ATTR.
pub fn xen_hvm_get_attr(vm: &VmFd, attr: &mut kvm_xen_hvm_attr) -> Result<()> {
    vm.get_xen_attr_raw(attr).map_err(errno)
}

/// KVM_XEN_HVM_SET_ATTR.
pub fn xen_hvm_set_attr(vm: &VmFd, attr: &kvm_xen_hvm_attr) -> Result<()> {
    // SAFETY: the addresses that tests hand over are those of mappings that are used for guest
    // memory only, or of none.
    unsafe { vm.set_xen_attr_raw(attr) }.map_err(errno)
}

/// KVM_XEN_VCPU_GET_ATTR.
pub fn xen_vcpu_get_attr(vcpu: &VcpuFd, attr: &mut kvm_xen_vcpu_attr) -> Result<()> {
    vcpu.get_xen_attr_raw(attr).map_err(errno)
}

/// KVM_XEN_VCPU_SET_ATTR.
pub fn xen_vcpu_set_attr(vcpu: &VcpuFd, attr: &kvm_xen_vcpu_attr) -> Result<()> {
    // SAFETY: as above.
    unsafe { vcpu.set_xen_attr_raw(attr) }.map_err(errno)
}

/// KVM_XEN_HVM_EVTCHN_SEND.
pub fn xen_hvm_evtchn_send(vm: &VmFd, event: &kvm_irq_routing_xen_evtchn) -> Result<()> {
    vm.send_xen_evtchn(event).map_err(errno)
}
