// SPDX-License-Identifier: GPL-2.0

//! `kvm->lock` inside a read-side critical section of `kvm->srcu`, as the hypercalls of v5.19 took
//! it.
//!
//! Since commit 2fd6df2f2b47 a guest's `EVTCHNOP_send` was delivered in `KVM_RUN`, with
//! `vcpu->mutex` held and inside the section, by a function that took `kvm->lock` to map the
//! `shared_info` page again. v6.2 has the leaf mutex `xen_lock` instead.
//!
//! Lockdep: "possible circular locking dependency", where it has seen `slots_lock` taken inside
//! `kvm->lock`, and a grace period awaited under `slots_lock`; and nothing, if before all that it
//! has seen a vCPU created. kvm_xen_rs: `MayEnter<KvmLock>`, and the compile-fail test
//! `kvm_lock_inside_srcu`.

use crate::{bindings, Vm};
use kernel::prelude::*;

#[inline(never)]
pub(crate) fn commit(vm: &Vm) -> Result {
    let (kvm, vcpu) = (vm.as_ptr(), vm.vcpu()?);
    // SAFETY: `vm` keeps the VM and its vCPU, with their locks and SRCU. None of these is held by
    // this task, nor waited for by another.
    unsafe {
        bindings::mutex_lock(&raw mut (*vcpu).mutex);
        let section = bindings::kvm_xen_broken_order_srcu_read_lock(&raw mut (*kvm).srcu);
        // The mistake: who holds it may be waiting for this section to end.
        bindings::mutex_lock(&raw mut (*kvm).lock);

        bindings::mutex_unlock(&raw mut (*kvm).lock);
        bindings::kvm_xen_broken_order_srcu_read_unlock(&raw mut (*kvm).srcu, section);
        bindings::mutex_unlock(&raw mut (*vcpu).mutex);
    }
    Ok(())
}
