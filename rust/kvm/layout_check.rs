// SPDX-License-Identifier: GPL-2.0

//! Our layouts of the guest's structures against those of the kernel's headers, and the types that
//! we take the fields of KVM's private structures for against those they have, at build time.
//!
//! Where they are comes from the headers by themselves; a field that is wider than it was, or that
//! counts something else, would be taken for what it is not where it is reached by its address.
//! `struct evtchnfd` is in no header: `sender.rs` has it, and `xen.c` is compared as a whole.

use crate::{
    abi::{shared_info as ours, vcpu_info, WordSize::*},
    bindings::{self, compat_shared_info, compat_vcpu_info, shared_info, vcpu_info as vcpu_info64},
};
use core::mem::offset_of;
use kernel::{
    ffi::{c_int, c_ulong, c_void},
    static_assert,
};

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

/// Does not compile unless each field has the type that is said.
macro_rules! fields {
    ($($structure:ident { $($field:ident: $type:ty,)* })*) => {
        $($(const _: fn(&bindings::$structure) -> &$type = |structure| &structure.$field;)*)*
    };
}

fields! {
    kvm_xen {
        xen_lock: bindings::mutex,
        xen_version: u32,
        long_mode: bool,
        runstate_update_flag: bool,
        upcall_vector: u8,
        shinfo_cache: bindings::gfn_to_pfn_cache,
        evtchn_ports: bindings::idr,
        // A bit for each vCPU that there can be.
        poll_mask: [c_ulong; bindings::KVM_MAX_VCPUS as usize / 64],
        hvm_config: bindings::kvm_xen_hvm_config,
    }
    kvm_vcpu_xen {
        hypercall_rip: u64,
        current_runstate: u32,
        upcall_vector: u8,
        vcpu_info_cache: bindings::gfn_to_pfn_cache,
        vcpu_time_info_cache: bindings::gfn_to_pfn_cache,
        runstate_cache: bindings::gfn_to_pfn_cache,
        runstate2_cache: bindings::gfn_to_pfn_cache,
        last_steal: u64,
        runstate_entry_time: u64,
        runstate_times: [u64; 4],
        evtchn_pending_sel: c_ulong,
        vcpu_id: u32,
        timer_virq: u32,
        timer_expires: u64,
        timer_pending: bindings::atomic_t,
        timer: bindings::hrtimer,
        poll_evtchn: c_int,
        poll_timer: bindings::timer_list,
    }
    gfn_to_pfn_cache {
        gpa: u64,
        uhva: c_ulong,
        memslot: *mut bindings::kvm_memory_slot,
        kvm: *mut bindings::kvm,
        lock: bindings::rwlock_t,
        khva: *mut c_void,
        active: bool,
        valid: bool,
    }
    kvm {
        lock: bindings::mutex,
        slots_lock: bindings::mutex,
        slots_arch_lock: bindings::mutex,
        mm: *mut bindings::mm_struct,
        srcu: bindings::srcu_struct,
        irq_srcu: bindings::srcu_struct,
    }
    kvm_vcpu {
        kvm: *mut bindings::kvm,
        run: *mut bindings::kvm_run,
        vcpu_idx: c_int,
    }
}
