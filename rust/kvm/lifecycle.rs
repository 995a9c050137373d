// SPDX-License-Identifier: GPL-2.0

//! The beginning and the end of Xen's state in VMs and vCPUs.
//!
//! What is initialized here may outlive this module, so nothing of it points here: callbacks are
//! KVM's own functions, replaced or not, and see `helpers/lock_class.c` for what lockdep is told.

use super::{enabled, senders::Senders, Vm};
use crate::{
    bindings, kernels,
    livepatch::symbols,
    object::{field, Object},
    sync::{Ctx, Destruction},
};
use kernel::ffi::c_int;

/// Initializes a VM that nobody else can see yet.
///
/// # Safety
///
/// `kvm` is a VM that is being created, its `arch.xen` all zero.
pub(crate) unsafe fn init_vm(kvm: *mut bindings::kvm) {
    // SAFETY: By the safety requirement. All of it is this task's alone until the VM is complete.
    let vm = unsafe { Object::from_raw(kvm) };
    let xen = field!(vm, arch.xen);
    // SAFETY: As above, and so are its locks, which nobody has initialized yet.
    unsafe { bindings::kvm_xen_rs_init_vm_locks(xen.as_ptr()) };
    let cache = field!(xen, shinfo_cache).as_ptr();
    // SAFETY: As above. KVM only keeps the VM's address.
    unsafe { symbols::kvm_gpc_init(cache, kvm) };
}

/// Initializes a vCPU that nobody else can see yet.
///
/// # Safety
///
/// `vcpu` is a vCPU that is being created, its `arch.xen` all zero but what CPUID set.
pub(crate) unsafe fn init_vcpu(vcpu: *mut bindings::kvm_vcpu) {
    // SAFETY: By the safety requirement. All of it is this task's alone until the vCPU is complete.
    let vcpu = unsafe { Object::from_raw(vcpu) };
    let xen = field!(vcpu, arch.xen);
    let vcpu_idx = field!(vcpu, vcpu_idx).read_once() as u32;
    let vcpu_id = field!(xen, vcpu_id);
    // SAFETY: As above; it is what C begins with.
    unsafe { vcpu_id.write_once(kernels::initial_xen_id(vcpu_idx)) };

    let poll_timer = field!(xen, poll_timer).as_ptr();
    // SAFETY: As above, and nobody has initialized the timer yet. The callback stays as long as KVM.
    unsafe { bindings::kvm_xen_rs_init_poll_timer(poll_timer, Some(symbols::cancel_evtchn_poll)) };
    let timer = field!(xen, timer).as_ptr();
    // SAFETY: As above.
    unsafe {
        bindings::hrtimer_setup(
            timer,
            Some(symbols::xen_timer_callback),
            bindings::CLOCK_MONOTONIC as c_int,
            bindings::hrtimer_mode_HRTIMER_MODE_ABS_HARD,
        )
    };
    let kvm = field!(vcpu, kvm).read_once();
    for cache in [
        field!(xen, runstate_cache),
        field!(xen, runstate2_cache),
        field!(xen, vcpu_info_cache),
        field!(xen, vcpu_time_info_cache),
    ] {
        // SAFETY: As above. KVM only keeps the VM's address.
        unsafe { symbols::kvm_gpc_init(cache.as_ptr(), kvm) };
    }
}

/// Ends a VM. May sleep.
///
/// # Safety
///
/// Nobody else uses the VM any more. The context does not say so: it is that of whoever holds nothing.
pub(crate) unsafe fn destroy_vm(cx: &mut Ctx<'_, Destruction>, vm: Vm<'_>) {
    vm.shared_info().deactivate(cx);

    let table = field!(vm.xen(), evtchn_ports).as_ptr();
    // SAFETY: The table is initialized with the VM, has senders alone, and is this task's alone by the
    // safety requirement.
    drop(unsafe { Senders::take(table) });

    if field!(vm.xen(), hvm_config.msr).read_once() != 0 {
        enabled::dec_deferred();
    }
}
