// SPDX-License-Identifier: GPL-2.0

//! Our layouts of the guest's structures against those of the kernel's headers, at build time.

use crate::{
    abi::{shared_info as ours, vcpu_info, WordSize::*},
    bindings::{compat_shared_info, compat_vcpu_info, shared_info, vcpu_info as vcpu_info64},
};
use core::mem::offset_of;
use kernel::static_assert;

static_assert!(
    ours::evtchn_pending(Bits32).locate(0).0 == offset_of!(compat_shared_info, evtchn_pending)
);
static_assert!(ours::evtchn_pending(Bits64).locate(0).0 == offset_of!(shared_info, evtchn_pending));
static_assert!(
    ours::evtchn_mask(Bits32).locate(0).0 == offset_of!(compat_shared_info, evtchn_mask)
);
static_assert!(ours::evtchn_mask(Bits64).locate(0).0 == offset_of!(shared_info, evtchn_mask));

static_assert!(ours::wall_clock(Bits32).version.offset() == offset_of!(compat_shared_info, wc));
static_assert!(ours::wall_clock(Bits64).version.offset() == offset_of!(shared_info, wc));
static_assert!(
    ours::wall_clock(Bits32).sec_hi.offset() == offset_of!(compat_shared_info, arch.wc_sec_hi)
);
static_assert!(ours::wall_clock(Bits64).sec_hi.offset() == offset_of!(shared_info, wc_sec_hi));

static_assert!(
    vcpu_info::EVTCHN_UPCALL_PENDING.offset()
        == offset_of!(compat_vcpu_info, evtchn_upcall_pending)
);
static_assert!(
    vcpu_info::EVTCHN_UPCALL_PENDING.offset() == offset_of!(vcpu_info64, evtchn_upcall_pending)
);
static_assert!(
    vcpu_info::evtchn_pending_sel(Bits32).locate(0).0
        == offset_of!(compat_vcpu_info, evtchn_pending_sel)
);
static_assert!(
    vcpu_info::evtchn_pending_sel(Bits64).locate(0).0
        == offset_of!(vcpu_info64, evtchn_pending_sel)
);
static_assert!(size_of::<compat_vcpu_info>() == 64 && size_of::<vcpu_info64>() == 64);
