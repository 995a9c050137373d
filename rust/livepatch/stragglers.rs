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
    object::container_of,
};

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
    let (head, lock) = (&raw mut symbols::vm_list, &raw mut symbols::kvm_lock);
    // At the end of a transition livepatch waits for this work with locks held, so this must not
    // wait for whoever has the list. It is tried again in a second.
    // SAFETY: It is a mutex of KVM's, initialized with it, and nothing is held here.
    if unsafe { bindings::mutex_trylock(lock) } == 0 {
        return;
    }
    // SAFETY: The list is KVM's, and the mutex, which protects it, is held.
    let next = |entry: *mut bindings::list_head| unsafe { (*entry).next };
    let mut entry = next(head);
    while entry != head {
        let vm = container_of!(entry, bindings::kvm, vm_list);
        // SAFETY: All entries but the head are VMs, with Xen state, that stay while the mutex is held:
        // they are put there last when they are created, and taken off first when they are destroyed.
        interrupt(unsafe { Vm::from_raw(vm) });
        entry = next(entry);
    }
    // SAFETY: It was taken above, by this task.
    unsafe { bindings::mutex_unlock(lock) };
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
        // SAFETY: The vCPU is there. Its task is looked up with the lock for that, in RCU.
        if unsafe { bindings::kvm_xen_rs_signal_straggler(vcpu.as_raw()) } {
            // SAFETY: The vCPU is there; a kick that does not wait may come from a work item.
            unsafe { symbols::__kvm_vcpu_kick(vcpu.as_raw(), false) };
        }
        index = index.wrapping_add(1);
    }
}
