// SPDX-License-Identifier: GPL-2.0

//! What a kernel with lockdep knows of the current task: whether it is inside of what the context
//! of a C function says.

use super::{Vcpu, Vm};
#[cfg(CONFIG_PROVE_LOCKING)]
use crate::bindings;
#[cfg(CONFIG_PROVE_LOCKING)]
use crate::object::{field, Object};
#[cfg(CONFIG_PROVE_LOCKING)]
use crate::sync::current::mm_of_current;
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

/// What a helper returns: below 0 where it can't tell, else whether the task is inside.
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
        let kvm = self.vm.object();
        let mutex = |mutex: Object<'_, _>| {
            // SAFETY: The VM and the vCPU are there, and with them their mutexes. The helper looks at
            // what the current task holds alone.
            known(unsafe { bindings::kvm_xen_rs_mutex_is_held(mutex.as_ptr()) })
        };
        let srcu = |srcu: Object<'_, _>| {
            // SAFETY: As above, for the SRCUs.
            known(unsafe { bindings::kvm_xen_rs_srcu_is_held(srcu.as_ptr()) })
        };
        let ask = |helper: unsafe extern "C" fn() -> bool| {
            // SAFETY: Each of them, below, looks at the current task and CPU alone.
            Some(unsafe { helper() })
        };
        match level {
            Id::KvmLock => mutex(field!(kvm, lock)),
            Id::SlotsLock => mutex(field!(kvm, slots_lock)),
            Id::SlotsArchLock => mutex(field!(kvm, slots_arch_lock)),
            Id::XenLock => mutex(field!(self.vm.xen(), xen_lock)),
            Id::VcpuMutex => mutex(field!(self.vcpu?.object(), mutex)),
            Id::KvmSrcu => srcu(field!(kvm, srcu)),
            Id::IrqSrcu => srcu(field!(kvm, irq_srcu)),
            Id::VmMm => Some(mm_of_current() == self.vm.mm()),
            Id::PreemptOff => ask(bindings::kvm_xen_rs_preempt_off),
            Id::IrqsOff => ask(bindings::kvm_xen_rs_irqs_off),
            Id::HardIrq => ask(bindings::kvm_xen_rs_in_hardirq),
            Id::Softirq => ask(bindings::kvm_xen_rs_in_softirq),
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

    fn might_sleep(&self) {
        // SAFETY: It warns where the task may not sleep, and changes nothing.
        unsafe { bindings::kvm_xen_rs_might_sleep() }
    }

    #[cold]
    fn contradict(&self, level: Id, claim: Claim) {
        // SAFETY: The helper warns, once for each level.
        unsafe { bindings::kvm_xen_rs_contradict(level as u32, claim == Claim::Inside) }
    }
}
