// SPDX-License-Identifier: GPL-2.0

//! The current task, where KVM does not say in which context it calls.

use super::Vcpu;
use crate::{
    bindings,
    sync::{current::mm_of_current, order::KvmSrcu, Anywhere, Ctx, MayDeliver, MayRefresh, Within},
};
use core::ops::Deref;

/// A read-side critical section of `kvm->srcu` that was entered where nothing is known of the
/// caller.
pub(crate) type Unknown = Within<KvmSrcu, Anywhere>;

/// A context in which an event can be delivered, if the task can do so just now: under `PREEMPT_RT`,
/// where preemption and interrupts are on, as they are there with a wait queue's spinlock held; else
/// always.
#[inline(always)]
pub(crate) fn may_deliver_now<'g>(_cx: &'g mut Ctx<'_, Unknown>) -> Option<Ctx<'g, MayDeliver>> {
    #[cfg(not(CONFIG_PREEMPT_RT))]
    let can = true;
    #[cfg(CONFIG_PREEMPT_RT)]
    // SAFETY: The helper looks at the current task and CPU alone.
    let can = unsafe { bindings::kvm_xen_rs_may_try_lock() };
    // SAFETY: The task is in the read-side critical section. `Anywhere` may try locks, or, under
    // `PREEMPT_RT`, the task is preemptible, so that the release of a lock may take a raw spinlock
    // and wake another task. All else that follows from `Spinlock` only forbids.
    can.then(|| unsafe { Ctx::assert() })
}

/// A vCPU of which KVM asks whether it has an interrupt.
///
/// # Invariants
///
/// The task is one of KVM's vCPU threads, which holds no more of KVM's locks than `vcpu->mutex`, or it
/// is atomic. An irqfd's may be neither, under `PREEMPT_RT`: it holds the spinlock of a wait queue.
pub(crate) struct Asked<'a>(Vcpu<'a>);

impl<'a> Asked<'a> {
    /// The vCPU that KVM asks of.
    ///
    /// # Safety
    ///
    /// The invariants hold until `'a` ends.
    #[inline(always)]
    pub(crate) const unsafe fn assert(vcpu: Vcpu<'a>) -> Self {
        // INVARIANT: By the safety requirement.
        Self(vcpu)
    }

    /// A context in which pfn caches can be refreshed, if the task can do so just now: it is not
    /// atomic, has not set its state to sleep already, and is in the VM's address space.
    pub(crate) fn may_refresh_now<'g>(
        &self,
        _cx: &'g mut Ctx<'_, Unknown>,
    ) -> Option<Ctx<'g, MayRefresh>> {
        // SAFETY: The helper looks at the current task and CPU alone.
        let can = unsafe { bindings::kvm_xen_rs_may_sleep() } && mm_of_current() == self.vm().mm();
        // SAFETY: The task may sleep, its address space is the VM's, and it is in a read-side critical
        // section. By the type of `_cx` it has taken no lock of this module's since KVM called, and by
        // the invariant it holds no more of KVM's than `vcpu->mutex`.
        can.then(|| unsafe { Ctx::assert() })
    }
}

impl<'a> Deref for Asked<'a> {
    type Target = Vcpu<'a>;

    #[inline(always)]
    fn deref(&self) -> &Vcpu<'a> {
        &self.0
    }
}
