// SPDX-License-Identifier: GPL-2.0

//! What the types are to allow, compiled as a part of the module itself.

#![forbid(unsafe_code)]
#![allow(dead_code, unused, reason = "nothing of it runs")]

use crate::{
    kvm::{OwnVcpu, Vm},
    prelude::*,
    sync::{
        callers::Notifier,
        context::Nothing,
        order::*,
        srcu::Callback,
        *,
    },
};

/// Enters a level that this module never enters.
fn enter<L: Level, H: MayEnter<L>>(_cx: &mut Ctx<'_, H>) {}

/// Neither a context nor what a guard keeps of it is there at run time.
fn contexts_have_no_size() {
    const {
        assert!(size_of::<Ctx<'_, InKvmRun>>() == 0);
        assert!(size_of::<Ctx<'_, Anywhere>>() == 0);
        assert!(size_of::<OwnVcpu<'_>>() == size_of::<usize>());
    }
}

/// At once and without waiting where an irqfd is woken, in a spinlock.
fn delivery_from_irqfd_wakeup(mut cx: Ctx<'_, Within<Spinlock, Nothing>>, vm: Vm<'_>) {
    let mut section = vm.srcu().read(&mut cx);
    vm.shared_info().try_read(&mut section.cx());
    if let Some(vcpu) = vm.vcpu(0) {
        vcpu.unblock(&mut section.cx());
    }
}

/// On the workqueue with nothing held, and with the address space of the VM when a page has to come.
fn delivery_from_irqfd_workqueue(mut cx: Ctx<'_, SetIrq>, vm: Vm<'_>) -> Result {
    let mut mm = vm.enter_mm(&mut cx)?;
    let mut inside = mm.cx();
    let mut section = vm.srcu().read(&mut inside);
    let refreshed = vm.shared_info().refresh(&mut section.cx());
    refreshed
}

/// A hypercall has the proof that it is in a read section.
fn hypercall_enters_nothing_twice(mut cx: Ctx<'_, InKvmRun>, vm: Vm<'_>) -> Result {
    vm.shared_info().try_read(&mut cx);
    vm.gate(&mut cx).find(5);
    vm.shared_info().refresh(&mut cx)
}

/// Inside `xen_lock`, and that inside `kvm->srcu`, a page is mapped.
fn leaf_lock_with_the_locks_of_a_pfn_cache(mut cx: Ctx<'_, VmIoctl>, vm: Vm<'_>) -> Result {
    let mut section = vm.srcu().read(&mut cx);
    let mut inside = section.cx();
    let mut xen = vm.lock_xen(&mut inside);
    enter::<GpcRefreshLock, _>(&mut xen.cx());
    vm.shared_info().refresh(&mut xen.cx())
}

/// A grace period may be awaited under `kvm->lock`, `vcpu->mutex` and `slots_lock`.
fn memslot_update(
    vm: Vm<'_>,
    mut kvm: Ctx<'_, Within<KvmLock, VmIoctl>>,
    mut vcpu: Ctx<'_, Within<VcpuMutex, VmIoctl>>,
    mut slots: Ctx<'_, Within<SlotsLock, Within<VcpuMutex, VmIoctl>>>,
) {
    vm.srcu().wait_for_readers(&mut kvm);
    vm.srcu().wait_for_readers(&mut vcpu);
    vm.srcu().wait_for_readers(&mut slots);
    enter::<SlotsArchLock, _>(&mut slots);
}

/// The one thing that an MMU notifier does to Xen's state.
fn notifier_takes_gpc_lock(mut cx: Ctx<'_, Notifier>) {
    enter::<GpcLock, _>(&mut cx);
}

/// `SCHEDOP_poll` leaves the read section for as long as it sleeps.
fn poll_outside_of_srcu(mut cx: Ctx<'_, InKvmRun>, vcpu: OwnVcpu<'_>) {
    vcpu.halt(&mut cx);
    vcpu.vm().shared_info().try_read(&mut cx);
}

/// What is taken out of the table under `xen_lock` is freed after it, and after the readers.
fn reset_of_ports(mut cx: Ctx<'_, VmIoctl>, vm: Vm<'_>) -> Result {
    let senders = vm.lock_xen(&mut cx).remove_all_senders();
    senders.free_later(Callback::new(&mut cx, 1)?);
    let senders = vm.lock_xen(&mut cx).remove_all_senders();
    senders.free(&mut cx);
    Ok(())
}

/// The lock of the first page, then that of the second.
fn runstate_across_two_pages(mut cx: Ctx<'_, Within<GpcLock, InKvmRun>>) {
    enter::<GpcLock2, _>(&mut cx);
}

/// `slots_arch_lock` is released before the grace period, so it may be taken in a read section, as
/// on the first use of the shadow MMU.
fn slots_arch_lock_inside_srcu(mut cx: Ctx<'_, InKvmRun>) {
    enter::<SlotsArchLock, _>(&mut cx);
}
