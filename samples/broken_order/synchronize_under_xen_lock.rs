// SPDX-License-Identifier: GPL-2.0

//! A grace period of `kvm->srcu` under the lock that readers take: the reset of ports as it was.
//!
//! `KVM_XEN_EVTCHN_RESET` waited for readers with Xen's lock held, which was `kvm->lock` then,
//! until commit a79b53aaaa (v6.2) had it collect the ports first. Since Xen's lock is
//! `xen_lock`, this is what that would be today, and so the answer to whether that commit may be
//! reverted, which was asked in January 2023: Documentation/threads.rst.
//!
//! Lockdep: "possible circular locking dependency", where it has seen a guest write its hypercall
//! page, which takes `xen_lock` inside the section of `KVM_RUN`. kvm_xen_rs: `MayWaitForSrcu`, and
//! the compile-fail test `synchronize_under_xen_lock`.

use crate::{bindings, Vm};
use kernel::prelude::*;

#[inline(never)]
pub(crate) fn commit(vm: &Vm) -> Result {
    let kvm = vm.as_ptr();
    // SAFETY: `vm` keeps the VM, with its locks and SRCU. The mutex is not held by this task; in
    // the section there may be others, but none that takes the mutex.
    unsafe {
        bindings::mutex_lock(&raw mut (*kvm).arch.xen.xen_lock);
        // The mistake: who is in a section may be waiting for the mutex.
        bindings::synchronize_srcu(&raw mut (*kvm).srcu);

        bindings::mutex_unlock(&raw mut (*kvm).arch.xen.xen_lock);
    }
    Ok(())
}
