// SPDX-License-Identifier: GPL-2.0
//! `KVM_XEN_HVM_CONFIG`'s structure, as VMMs usually fill it.

use kvm_bindings::{kvm_xen_hvm_config, KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL};

/// A configuration that has KVM write the hypercall page and handle hypercalls.
///
/// * `msr`: number of the MSR to which the guest writes where it wants its hypercall page, a guest
///   physical address. 0x4000_0200 is usual; `KVM_XEN_MSR_MIN_INDEX` (0x4000_0000) to
///   `KVM_XEN_MSR_MAX_INDEX` (0x4fff_ffff) are allowed. A guest finds the number by CPUID, in `ebx`
///   of Xen's leaf 0x4000_0002 or 0x4000_0102, which is the VMM's to provide.
/// * `flags`: what else KVM is to do: `KVM_XEN_HVM_CONFIG_EVTCHN_SEND` for `SCHEDOP_poll` in the
///   kernel, `KVM_XEN_HVM_CONFIG_PVCLOCK_TSC_UNSTABLE`, or 0.
///
/// What KVM does not handle itself comes to the VMM as `KVM_EXIT_XEN`, see
/// [`XenVcpu::xen_hypercall`](crate::XenVcpu::xen_hypercall).
///
/// Source: api.rst, 4.28 and 8.30.
///
/// # Examples
///
/// ```
/// use kvm_bindings::KVM_XEN_HVM_CONFIG_EVTCHN_SEND;
///
/// let config = kvm_xen_ioctls::intercept_hypercalls(0x4000_0200, KVM_XEN_HVM_CONFIG_EVTCHN_SEND);
/// assert_eq!(config.flags, 0x22);
/// assert_eq!(config.msr, 0x4000_0200);
/// ```
pub fn intercept_hypercalls(msr: u32, flags: u32) -> kvm_xen_hvm_config {
    kvm_xen_hvm_config {
        flags: KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL | flags,
        msr,
        ..Default::default()
    }
}
