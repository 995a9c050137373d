// SPDX-License-Identifier: GPL-2.0

//! The current task, where KVM does not say in which context it calls.

use super::Vm;
use crate::{
    bindings,
    sync::{Ctx, InKvmSrcu, MayRefresh},
};
use kernel::task::Task;

/// A context in which pfn caches can be refreshed, if the task can do so just now: it is not
/// atomic, has not set its state to sleep already, and is in the VM's address space.
///
/// KVM calls `__kvm_xen_has_interrupt()` from its own vCPU threads alone, or in an atomic context.
pub(crate) fn may_refresh_now<'g, H: InKvmSrcu>(
    vm: Vm<'_>,
    _cx: &'g mut Ctx<'_, H>,
) -> Option<Ctx<'g, MayRefresh>> {
    // SAFETY: The helper looks at the current task alone, and so does the read of its `mm`.
    let can = unsafe { bindings::kvm_xen_rs_may_sleep() && (*Task::current_raw()).mm == vm.mm() };
    // SAFETY: The task may sleep, its address space is the VM's, and it is in a read section. A
    // thread that may sleep holds no more of KVM's locks than `vcpu->mutex` when it is asked.
    can.then(|| unsafe { Ctx::assert() })
}
