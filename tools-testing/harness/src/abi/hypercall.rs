// SPDX-License-Identifier: GPL-2.0
//! Hypercall numbers and commands that the cases use.

/// `__HYPERVISOR_xen_version`.
pub const XEN_VERSION: u64 = 17;
/// `__HYPERVISOR_event_channel_op`.
pub const EVENT_CHANNEL_OP: u64 = 32;

/// Command of [`XEN_VERSION`]: major and minor version in one word.
pub const XENVER_VERSION: u64 = 0;
/// Command of [`XEN_VERSION`] that KVM leaves to the VMM.
pub const XENVER_EXTRAVERSION: u64 = 1;

/// Command of [`EVENT_CHANNEL_OP`]: send an event; its argument points to the port.
pub const EVTCHNOP_SEND: u64 = 4;

/// What a port is bound to, as EVTCHNOP_status has it.
pub mod status {
    pub const CLOSED: u32 = 0;
    pub const UNBOUND: u32 = 1;
    pub const INTERDOMAIN: u32 = 2;
    pub const PIRQ: u32 = 3;
    pub const VIRQ: u32 = 4;
    pub const IPI: u32 = 5;
}

/// Xen's errors are Linux's, negated, in the result register.
pub const XEN_EFAULT: u64 = -14_i64 as u64;
