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

pub(crate) const KVM_XEN_RS_COALESCED: u32 = 0;
pub(crate) const KVM_XEN_RS_MASKED: u32 = 1;
pub(crate) const KVM_XEN_RS_RAISED: u32 = 2;
pub(crate) const KVM_XEN_RS_KICK: u32 = 3;
pub(crate) const KVM_XEN_RS_INTERRUPT: u32 = 4;
pub(crate) const KVM_XEN_RS_NOT_NOW: u32 = 5;
pub(crate) const KVM_XEN_RS_FAILED: u32 = 6;

pub(crate) const KVM_XEN_RS_POLL_BEGINS: u32 = 0;
pub(crate) const KVM_XEN_RS_POLL_PENDING: u32 = 1;
pub(crate) const KVM_XEN_RS_POLL_WOKEN: u32 = 2;
pub(crate) const KVM_XEN_RS_POLL_TIMED_OUT: u32 = 3;
pub(crate) const KVM_XEN_RS_POLL_OTHER: u32 = 4;

pub(crate) const KVM_XEN_RS_TIMER_IN_TIME: u32 = 0;
pub(crate) const KVM_XEN_RS_TIMER_DEFERRED: u32 = 1;
pub(crate) const KVM_XEN_RS_TIMER_LATER: u32 = 2;
pub(crate) const KVM_XEN_RS_TIMER_AGAIN: u32 = 3;
pub(crate) const KVM_XEN_RS_TIMER_NO_PORT: u32 = 4;

pub(crate) const KVM_XEN_RS_SEVERAL: u32 = u32::MAX;
