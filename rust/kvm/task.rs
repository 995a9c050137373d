// SPDX-License-Identifier: GPL-2.0

//! The current task, where KVM does not say in which context it calls.

use super::Vm;
use crate::{
    bindings,
    sync::{Anywhere, Ctx, VmIoctl},
};
use kernel::task::Task;

/// A context in the VM's address space that may sleep, if the task can do so just now: it is not
/// atomic, and has not set its state to sleep already.
///
/// KVM calls `__kvm_xen_has_interrupt()` from its own vCPU threads alone, or in an atomic context.
pub(crate) fn may_sleep_in_vm<'g>(
    vm: Vm<'_>,
    _cx: &'g mut Ctx<'_, Anywhere>,
) -> Option<Ctx<'g, VmIoctl>> {
    // SAFETY: The helper looks at the current task alone, and so does the read of its `mm`.
    let may_sleep =
        unsafe { bindings::kvm_xen_rs_may_sleep() && (*Task::current_raw()).mm == vm.mm() };
    // SAFETY: The task may sleep, and its address space is the VM's. It may be inside
    // `vcpu->mutex` and a read section of `kvm->srcu`, inside of which all that is done here, to
    // enter another read section and a cache's own locks, is in order too.
    may_sleep.then(|| unsafe { Ctx::assert() })
}
