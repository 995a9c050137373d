// SPDX-License-Identifier: GPL-2.0

//! The beginning and the end of Xen's state in VMs and vCPUs.
//!
//! What is initialized here may outlive this module, so nothing of it points here: callbacks are
//! KVM's own functions, replaced or not, and see `helpers/lock_class.c` for what lockdep is told.

use super::{enabled, sender::Senders, Vm};
use crate::{
    bindings, kernels,
    livepatch::symbols,
    sync::{Ctx, Destruction},
};
use kernel::ffi::c_int;

/// Initializes a VM that nobody else can see yet.
///
/// # Safety
///
/// `kvm` is a VM that is being created, its `arch.xen` all zero.
pub(crate) unsafe fn init_vm(kvm: *mut bindings::kvm) {
    // SAFETY: The fields are this task's alone until the VM is complete.
    unsafe {
        let xen = &raw mut (*kvm).arch.xen;
        bindings::kvm_xen_rs_init_vm_locks(xen);
        symbols::kvm_gpc_init(&raw mut (*xen).shinfo_cache, kvm);
    }
}

/// Initializes a vCPU that nobody else can see yet.
///
/// # Safety
///
/// `vcpu` is a vCPU that is being created, its `arch.xen` all zero but what CPUID set.
pub(crate) unsafe fn init_vcpu(vcpu: *mut bindings::kvm_vcpu) {
    // SAFETY: The fields are this task's alone until the vCPU is complete. The callbacks stay as
    // long as KVM.
    unsafe {
        let xen = &raw mut (*vcpu).arch.xen;
        (*xen).vcpu_id = kernels::initial_xen_id((*vcpu).vcpu_idx as u32);
        (*xen).poll_evtchn = 0;
        bindings::kvm_xen_rs_init_poll_timer(
            &raw mut (*xen).poll_timer,
            Some(symbols::cancel_evtchn_poll),
        );
        bindings::hrtimer_setup(
            &raw mut (*xen).timer,
            Some(symbols::xen_timer_callback),
            bindings::CLOCK_MONOTONIC as c_int,
            bindings::hrtimer_mode_HRTIMER_MODE_ABS_HARD,
        );
        for gpc in [
            &raw mut (*xen).runstate_cache,
            &raw mut (*xen).runstate2_cache,
            &raw mut (*xen).vcpu_info_cache,
            &raw mut (*xen).vcpu_time_info_cache,
        ] {
            symbols::kvm_gpc_init(gpc, (*vcpu).kvm);
        }
    }
}

/// Ends a VM that nobody else uses any more. May sleep.
pub(crate) fn destroy_vm(cx: &mut Ctx<'_, Destruction>, vm: Vm<'_>) {
    vm.shared_info().deactivate(cx);

    // SAFETY: The table is initialized with the VM, has senders alone, and is this task's by now.
    drop(unsafe { Senders::take(&raw mut (*vm.xen()).evtchn_ports) });

    // SAFETY: As above.
    if unsafe { (*vm.xen()).hvm_config.msr } != 0 {
        enabled::dec_deferred();
    }
}
