// SPDX-License-Identifier: GPL-2.0

//! `kvm->slots_lock` inside a read-side critical section of `kvm->srcu`: what KVM's document forbids
//! since before the thread "clarify SRCU locking order", which moved that rule and said more of it.
//!
//! A vCPU that has to change a memslot in the middle of an exit is tempted, and has to leave its
//! section first, as `kvm_inhibit_apic_access_page()` does.
//!
//! Lockdep: "possible circular locking dependency", where it has seen a memslot updated.
//! kvm_xen_rs: `MayEnter<SlotsLock>`, and the compile-fail test `slots_lock_inside_srcu`.

use crate::{bindings, Vm};
use kernel::prelude::*;

#[inline(never)]
pub(crate) fn commit(vm: &Vm) -> Result {
    let kvm = vm.as_ptr();
    // SAFETY: `vm` keeps the VM, with its locks and SRCU. None of these is held by this task, nor
    // waited for by another.
    unsafe {
        let section = bindings::kvm_xen_broken_order_srcu_read_lock(&raw mut (*kvm).srcu);
        // The mistake: who holds it may be waiting for this section to end.
        bindings::mutex_lock(&raw mut (*kvm).slots_lock);

        bindings::mutex_unlock(&raw mut (*kvm).slots_lock);
        bindings::kvm_xen_broken_order_srcu_read_unlock(&raw mut (*kvm).srcu, section);
    }
    Ok(())
}
