// SPDX-License-Identifier: GPL-2.0

//! Constants of KVM's UAPI and of Xen's headers.
#![allow(non_upper_case_globals, reason = "as in C")]

pub(crate) const KVM_XEN_EVTCHN_DEASSIGN: u32 = 1 << 0;
pub(crate) const KVM_XEN_EVTCHN_UPDATE: u32 = 1 << 1;
pub(crate) const KVM_XEN_EVTCHN_RESET: u32 = 1 << 2;

pub(crate) const EAGAIN: u32 = 11;
pub(crate) const ENOTCONN: u32 = 107;

pub(crate) const EVTCHNSTAT_interdomain: u32 = 2;
pub(crate) const EVTCHNSTAT_ipi: u32 = 5;
