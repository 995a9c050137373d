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
use kernel::ffi::{c_int, c_uint, c_ulong};

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
    fn kvm_gpc_check(gpc: *mut gfn_to_pfn_cache, len: c_ulong) -> bool;
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
}

// As above.
#[allow(improper_ctypes)]
extern "C" {
    /// What KVM's inline functions test to skip Xen's paths on machines without Xen guests.
    #[link_name = ".klp.sym.kvm.kvm_xen_enabled,0"]
    pub(crate) static mut kvm_xen_enabled: static_key_false_deferred;

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
