// SPDX-License-Identifier: GPL-2.0

//! `kvm->lock` inside `vcpu->mutex`: what the hypercalls of v5.19 did as well.
//!
//! The same path as in [`kvm_lock_inside_srcu`](crate::kvm_lock_inside_srcu), without the section
//! in between. Who stops all vCPUs holds `kvm->lock` and takes the mutex of each.
//!
//! Lockdep: "possible circular locking dependency", where it has seen a vCPU created.
//! kvm_xen_rs: `MayEnter<KvmLock>`, and the compile-fail test `kvm_lock_inside_vcpu_mutex`.

use crate::{bindings, Vm};
use kernel::prelude::*;

#[inline(never)]
pub(crate) fn commit(vm: &Vm) -> Result {
    let (kvm, vcpu) = (vm.as_ptr(), vm.vcpu()?);
    // SAFETY: `vm` keeps the VM and its vCPU, with their locks. Neither is held by this task, nor
    // waited for by another.
    unsafe {
        bindings::mutex_lock(&raw mut (*vcpu).mutex);
        // The mistake: who holds it may be waiting for this vCPU.
        bindings::mutex_lock(&raw mut (*kvm).lock);

        bindings::mutex_unlock(&raw mut (*kvm).lock);
        bindings::mutex_unlock(&raw mut (*vcpu).mutex);
    }
    Ok(())
}
