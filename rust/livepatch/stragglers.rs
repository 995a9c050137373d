// SPDX-License-Identifier: GPL-2.0

//! vCPUs that a transition waits for.
//!
//! A task changes over when it returns to user mode, or when livepatch finds it asleep and in none
//! of the functions that are replaced. A vCPU that is always busy with its guest does neither, and
//! one that waits in `SCHEDOP_poll` is in such a function. Livepatch interrupts who is left after
//! 15 seconds. Here the vCPUs among them are interrupted in the same way, and sooner: each second.
//! Nobody else is: what other tasks do in these functions comes to its end by itself.
//!
//! Source: Documentation/livepatch/livepatch.rst, "Consistency model".

use crate::{
    bindings,
    kvm::{params, Vm},
    livepatch::symbols,
};
use core::ptr::NonNull;
use kernel::container_of;

/// A transition begins, one way or the other.
#[cold]
pub(super) fn begin() {
    if params::signals_vcpus() {
        // SAFETY: `end` comes before this module and KVM can go.
        unsafe { bindings::kvm_xen_rs_stragglers_begin() }
    }
}

/// The transition that [`begin`] was called for has ended, if there is one. May sleep.
#[cold]
pub(super) fn end() {
    // SAFETY: The work takes no lock that livepatch's callbacks are called with.
    unsafe { bindings::kvm_xen_rs_stragglers_end() }
}

/// Interrupts all vCPUs that a transition waits for. Called each second while one lasts.
///
/// # Safety
///
/// kvm.ko is loaded, and livepatch has resolved our references to it.
#[cold]
#[no_mangle]
unsafe extern "C" fn kvm_xen_rs_stragglers_interrupt() {
    let head = &raw mut symbols::vm_list;
    // SAFETY: The lock is a mutex of KVM's, and nothing is held here. It protects the list, all
    // entries of which are VMs, with Xen state: they are put there last when they are created, and
    // taken off first when they are destroyed.
    unsafe {
        // Who ends the transition may wait for this to be done, and holds locks: so don't wait for
        // who has the list now, in a second it is tried again.
        if bindings::mutex_trylock(&raw mut symbols::kvm_lock) == 0 {
            return;
        }
        let mut entry = (*head).next;
        while entry != head {
            let vm = container_of!(entry, bindings::kvm, vm_list);
            interrupt(Vm::from_raw(NonNull::new_unchecked(vm)));
            entry = (*entry).next;
        }
        bindings::mutex_unlock(&raw mut symbols::kvm_lock);
    }
}

const _: () = {
    let _ = [
        bindings::kvm_xen_rs_stragglers_interrupt,
        kvm_xen_rs_stragglers_interrupt,
    ];
};

/// Interrupts those of one VM.
#[inline(always)]
fn interrupt(vm: Vm<'_>) {
    let mut index = 0;
    while let Some(vcpu) = vm.vcpu(index) {
        // SAFETY: The vCPU is there; a kick that does not wait may come from anywhere.
        unsafe {
            if bindings::kvm_xen_rs_signal_straggler(vcpu.as_raw()) {
                symbols::__kvm_vcpu_kick(vcpu.as_raw(), false);
            }
        }
        index = index.wrapping_add(1);
    }
}
