// SPDX-License-Identifier: GPL-2.0
//! The numbers of KVM's Xen ioctls, for who needs them bare: a filter of system calls, or a test
//! that hands over a bad pointer. [`XenVm`](crate::XenVm) and [`XenVcpu`](crate::XenVcpu) make
//! the calls.

// What the macros make can't be given documentation.
#![allow(missing_docs)]

use std::os::fd::AsRawFd;
use std::os::raw::{c_int, c_uint, c_ulong};

use kvm_bindings::{
    kvm_irq_routing_xen_evtchn, kvm_xen_hvm_attr, kvm_xen_hvm_config, kvm_xen_vcpu_attr,
};
use vmm_sys_util::ioctl::{ioctl_with_mut_ref, ioctl_with_ref};
use vmm_sys_util::{ioctl_iow_nr, ioctl_iowr_nr};

use crate::{Error, Result};

const KVMIO: c_uint = 0xae;

// api.rst, 4.28
ioctl_iow_nr!(KVM_XEN_HVM_CONFIG, KVMIO, 0x7a, kvm_xen_hvm_config);
// api.rst, 4.127
ioctl_iowr_nr!(KVM_XEN_HVM_GET_ATTR, KVMIO, 0xc8, kvm_xen_hvm_attr);
// api.rst, 4.126
ioctl_iow_nr!(KVM_XEN_HVM_SET_ATTR, KVMIO, 0xc9, kvm_xen_hvm_attr);
// api.rst, 4.129
ioctl_iowr_nr!(KVM_XEN_VCPU_GET_ATTR, KVMIO, 0xca, kvm_xen_vcpu_attr);
// api.rst, 4.128
ioctl_iow_nr!(KVM_XEN_VCPU_SET_ATTR, KVMIO, 0xcb, kvm_xen_vcpu_attr);
// api.rst, 4.135
ioctl_iow_nr!(
    KVM_XEN_HVM_EVTCHN_SEND,
    KVMIO,
    0xd0,
    kvm_irq_routing_xen_evtchn
);

/// These calls return 0 if they succeed. Another number, which KVM never returns, is told as
/// `EPROTO`.
fn zero(result: c_int) -> Result<()> {
    match result {
        0 => Ok(()),
        ..0 => Err(Error::last()),
        _ => Err(Error::new(libc::EPROTO)),
    }
}

/// A call that reads `argument`.
///
/// # Safety
///
/// `request` takes a pointer to a `T`, and what it does is fine with whoever owns what the `T`
/// names.
pub(crate) unsafe fn write<F: AsRawFd, T>(fd: &F, request: c_ulong, argument: &T) -> Result<()> {
    // SAFETY: by the contract.
    zero(unsafe { ioctl_with_ref(fd, request, argument) })
}

/// A call that reads `argument` and writes to it.
///
/// # Safety
///
/// `request` takes a pointer to a `T`, of which all bytes are valid whatever they are.
pub(crate) unsafe fn read<F: AsRawFd, T>(fd: &F, request: c_ulong, argument: &mut T) -> Result<()> {
    // SAFETY: by the contract.
    zero(unsafe { ioctl_with_mut_ref(fd, request, argument) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_kernels_headers() {
        assert_eq!(KVM_XEN_HVM_CONFIG(), 0x4038_ae7a);
        assert_eq!(KVM_XEN_HVM_GET_ATTR(), 0xc048_aec8);
        assert_eq!(KVM_XEN_HVM_SET_ATTR(), 0x4048_aec9);
        assert_eq!(KVM_XEN_VCPU_GET_ATTR(), 0xc048_aeca);
        assert_eq!(KVM_XEN_VCPU_SET_ATTR(), 0x4048_aecb);
        assert_eq!(KVM_XEN_HVM_EVTCHN_SEND(), 0x400c_aed0);
    }

    #[test]
    fn only_zero_is_success() {
        assert_eq!(zero(0), Ok(()));
        assert_eq!(zero(1), Err(Error::new(libc::EPROTO)));
    }
}
