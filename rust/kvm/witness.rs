// SPDX-License-Identifier: GPL-2.0

//! What a kernel with lockdep knows of the current task: whether it is inside of what the context
//! of a C function says.

use super::{Vcpu, Vm};
#[cfg(CONFIG_PROVE_LOCKING)]
use crate::bindings;
use crate::sync::{
    order::Id,
    verify::{Claim, Witness},
};

/// A call of one of our functions, for a VM or one of its vCPUs.
#[cfg_attr(not(CONFIG_PROVE_LOCKING), allow(dead_code))]
pub(crate) struct Call<'a> {
    vm: Vm<'a>,
    vcpu: Option<Vcpu<'a>>,
}

impl<'a> Call<'a> {
    /// A call for a VM.
    #[inline(always)]
    pub(crate) fn of_vm(vm: Vm<'a>) -> Self {
        Self { vm, vcpu: None }
    }

    /// A call for a vCPU.
    #[inline(always)]
    pub(crate) fn of_vcpu(vcpu: Vcpu<'a>) -> Self {
        Self {
            vm: vcpu.vm(),
            vcpu: Some(vcpu),
        }
    }
}

/// From a helper, below 0 of which nothing is known.
#[cfg(CONFIG_PROVE_LOCKING)]
fn known(held: i32) -> Option<bool> {
    (held >= 0).then_some(held != 0)
}

/// A kernel without lockdep knows nothing.
#[cfg(not(CONFIG_PROVE_LOCKING))]
impl Witness for Call<'_> {
    const ENABLED: bool = false;

    fn is_inside(&self, _level: Id) -> Option<bool> {
        None
    }

    fn might_sleep(&self) {}

    fn contradict(&self, _level: Id, _claim: Claim) {}
}

#[cfg(CONFIG_PROVE_LOCKING)]
impl Witness for Call<'_> {
    const ENABLED: bool = true;

    fn is_inside(&self, level: Id) -> Option<bool> {
        let kvm = self.vm.as_raw();
        // SAFETY: The VM and the vCPU are there, and with them their locks. The helpers look at
        // the current task and CPU alone.
        unsafe {
            let mutex = |mutex| known(bindings::kvm_xen_rs_mutex_is_held(mutex));
            match level {
                Id::KvmLock => mutex(&raw mut (*kvm).lock),
                Id::SlotsLock => mutex(&raw mut (*kvm).slots_lock),
                Id::SlotsArchLock => mutex(&raw mut (*kvm).slots_arch_lock),
                Id::XenLock => mutex(&raw mut (*self.vm.xen()).xen_lock),
                Id::VcpuMutex => mutex(&raw mut (*self.vcpu?.as_raw()).mutex),
                Id::KvmSrcu => known(bindings::kvm_xen_rs_srcu_is_held(&raw mut (*kvm).srcu)),
                Id::IrqSrcu => known(bindings::kvm_xen_rs_srcu_is_held(&raw mut (*kvm).irq_srcu)),
                Id::VmMm => Some(bindings::kvm_xen_rs_in_mm((*kvm).mm)),
                Id::PreemptOff => Some(bindings::kvm_xen_rs_preempt_off()),
                Id::IrqsOff => Some(bindings::kvm_xen_rs_irqs_off()),
                Id::HardIrq => Some(bindings::kvm_xen_rs_in_hardirq()),
                Id::Softirq => Some(bindings::kvm_xen_rs_in_softirq()),
                // A cache's locks are taken by this module alone, and inside of it; of the others
                // no one keeps account by task.
                Id::GpcRefreshLock
                | Id::GpcLock
                | Id::GpcLock2
                | Id::Invalidation
                | Id::Spinlock
                | Id::RunQueue
                | Id::Atomic => None,
            }
        }
    }

    fn might_sleep(&self) {
        // SAFETY: It complains where the task may not sleep, and does nothing else of note.
        unsafe { bindings::kvm_xen_rs_might_sleep() }
    }

    #[cold]
    fn contradict(&self, level: Id, claim: Claim) {
        // SAFETY: The helper warns, once for each level.
        unsafe { bindings::kvm_xen_rs_contradict(level as u32, claim == Claim::Inside) }
    }
}
