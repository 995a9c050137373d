// SPDX-License-Identifier: GPL-2.0

//! What the module calls in kvm.ko though KVM exports it to no one, or to its vendor modules
//! alone.
//!
//! Each symbol is declared by the name that a livepatch relocation has; the post-link step
//! (`tools-testing/klp-link`) turns the calls into such relocations, and the kernel resolves them
//! when both modules are there. One that kvm.ko lacks makes the load fail, with its name in the
//! log. Each is declared as the headers declare it, or it does not compile.
//!
//! Source: Documentation/livepatch/module-elf-format.rst.

use crate::bindings::{self, *};
use kernel::ffi::{c_int, c_uchar, c_uint, c_ulong, c_void};

macro_rules! symbols_of_kvm {
    ($(fn $name:ident($($arg:ident: $type:ty),*) $(-> $ret:ty)?;)*) => {
        // The kernel has empty structures inside of these, which no one passes by value.
        #[allow(improper_ctypes)]
        extern "C" {
            $(
                #[link_name = concat!(".klp.sym.kvm.", stringify!($name), ",0")]
                pub(crate) fn $name($($arg: $type),*) $(-> $ret)?;
            )*
        }
        $(const _: () = { let _ = [bindings::$name, $name]; };)*
    };
}

symbols_of_kvm! {
    fn kvm_gpc_refresh(gpc: *mut gfn_to_pfn_cache, len: c_ulong) -> c_int;
    fn kvm_gpc_activate(gpc: *mut gfn_to_pfn_cache, gpa: gpa_t, len: c_ulong) -> c_int;
    fn kvm_gpc_activate_hva(gpc: *mut gfn_to_pfn_cache, uhva: c_ulong, len: c_ulong) -> c_int;
    fn kvm_gpc_deactivate(gpc: *mut gfn_to_pfn_cache);
    fn kvm_make_all_cpus_request(kvm: *mut kvm, req: c_uint) -> bool;
    fn __kvm_vcpu_kick(vcpu: *mut kvm_vcpu, wait: bool);
    fn __kvm_irq_delivery_to_apic(
        kvm: *mut kvm,
        src: *mut kvm_lapic,
        irq: *mut kvm_lapic_irq,
        rtc_status: *mut rtc_status
    ) -> c_int;
    fn kvm_get_wall_clock_epoch(kvm: *mut kvm) -> u64;

    fn kvm_gpc_init(gpc: *mut gfn_to_pfn_cache, kvm: *mut kvm);
    fn mark_page_dirty_in_slot(kvm: *mut kvm, memslot: *const kvm_memory_slot, gfn: gfn_t);
    fn get_kvmclock_ns(kvm: *mut kvm) -> u64;
    fn kvm_get_monotonic_and_clockread(kernel_ns: *mut s64, tsc_timestamp: *mut u64) -> bool;
    fn kvm_read_l1_tsc(vcpu: *mut kvm_vcpu, host_tsc: u64) -> u64;

    fn kvm_hv_hypercall(vcpu: *mut kvm_vcpu) -> c_int;
    fn kvm_read_guest_virt(
        vcpu: *mut kvm_vcpu,
        addr: gva_t,
        val: *mut c_void,
        bytes: c_uint,
        exception: *mut x86_exception
    ) -> c_int;
    fn kvm_vcpu_write_guest(
        vcpu: *mut kvm_vcpu,
        gpa: gpa_t,
        data: *const c_void,
        len: c_ulong
    ) -> c_int;
    fn kvm_vcpu_on_spin(vcpu: *mut kvm_vcpu, yield_to_kernel_mode: bool);
    fn kvm_vcpu_halt(vcpu: *mut kvm_vcpu);
    fn kvm_lapic_hv_timer_in_use(vcpu: *mut kvm_vcpu) -> bool;
    fn kvm_lapic_switch_to_sw_timer(vcpu: *mut kvm_vcpu);
    fn kvm_lapic_switch_to_hv_timer(vcpu: *mut kvm_vcpu);
    fn kvm_skip_emulated_instruction(vcpu: *mut kvm_vcpu) -> c_int;
    fn kvm_get_linear_rip(vcpu: *mut kvm_vcpu) -> c_ulong;
    fn kvm_is_linear_rip(vcpu: *mut kvm_vcpu, linear_rip: c_ulong) -> bool;
    fn __traceiter_kvm_xen_hypercall(
        data: *mut c_void,
        cpl: u8,
        nr: c_ulong,
        a0: c_ulong,
        a1: c_ulong,
        a2: c_ulong,
        a3: c_ulong,
        a4: c_ulong,
        a5: c_ulong
    ) -> c_int;
}

/// The vendor module's functions, by the trampolines of KVM's static calls: each is a jump that the
/// kernel patches, so that to call one takes no branch by a pointer.
macro_rules! static_calls_of_kvm {
    ($(fn $name:ident($($arg:ident: $type:ty),*) $(-> $ret:ty)?;)*) => {
        // As above.
        #[allow(improper_ctypes)]
        extern "C" {
            $(
                #[link_name = concat!(".klp.sym.kvm.__SCT__kvm_x86_", stringify!($name), ",0")]
                pub(crate) fn $name($($arg: $type),*) $(-> $ret)?;
            )*
        }
        // KVM has them in a table, whose fields have the same types.
        const _: fn(&mut kvm_x86_ops) = |ops| { $(ops.$name = Some($name);)* };
    };
}

static_calls_of_kvm! {
    fn get_cpl(vcpu: *mut kvm_vcpu) -> c_int;
    fn get_cs_db_l_bits(vcpu: *mut kvm_vcpu, db: *mut c_int, l: *mut c_int);
    fn patch_hypercall(vcpu: *mut kvm_vcpu, hypercall: *mut c_uchar);
}

// As above.
#[allow(improper_ctypes)]
extern "C" {
    /// What KVM's inline functions test to skip Xen's paths on machines without Xen guests.
    #[link_name = ".klp.sym.kvm.kvm_xen_enabled,0"]
    pub(crate) static mut kvm_xen_enabled: static_key_false_deferred;

    /// All VMs, and what protects that list.
    #[link_name = ".klp.sym.kvm.vm_list,0"]
    pub(crate) static mut vm_list: list_head;
    #[link_name = ".klp.sym.kvm.kvm_lock,0"]
    pub(crate) static mut kvm_lock: mutex;

    /// The tracepoint of hypercalls.
    #[link_name = ".klp.sym.kvm.__tracepoint_kvm_xen_hypercall,0"]
    pub(crate) static __tracepoint_kvm_xen_hypercall: tracepoint;

    /// KVM's own callback of the singleshot timer, replaced or not: what KVM may keep in a timer.
    #[link_name = ".klp.sym.kvm.xen_timer_callback,0"]
    pub(crate) fn xen_timer_callback(timer: *mut hrtimer) -> hrtimer_restart;

    /// KVM's own callback of the timer that ends a poll, likewise.
    #[link_name = ".klp.sym.kvm.cancel_evtchn_poll,0"]
    pub(crate) fn cancel_evtchn_poll(timer: *mut timer_list);

    /// KVM's own end of a hypercall that the VMM has handled, likewise: what KVM may keep in a
    /// vCPU.
    #[link_name = ".klp.sym.kvm.kvm_xen_hypercall_complete_userspace,0"]
    pub(crate) fn kvm_xen_hypercall_complete_userspace(vcpu: *mut kvm_vcpu) -> c_int;

    /// KVM's own `evtchn_set_fn`, replaced or not: what KVM may keep in a routing entry.
    #[link_name = ".klp.sym.kvm.evtchn_set_fn,0"]
    pub(crate) fn evtchn_set_fn(
        e: *mut kvm_kernel_irq_routing_entry,
        kvm: *mut kvm,
        irq_source_id: c_int,
        level: c_int,
        line_status: bool,
    ) -> c_int;
}
