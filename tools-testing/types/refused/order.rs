// SPDX-License-Identifier: GPL-2.0

//! What the lock order and the contexts forbid.

use super::enter;
use crate::{
    kvm::{enabled, task::Asked, OwnVcpu, Vcpu, Vm},
    sync::{callers::Notifier, order::*, srcu::Callback, *},
};

/// The hypercall path of v5.19: `kvm->lock` is taken outside of `vcpu->mutex`, and that outside of
/// `kvm->srcu`.
fn kvm_lock_inside_srcu(mut cx: Ctx<'_, VmIoctl>, vm: Vm<'_>) {
    enter::<KvmLock, _>(&mut vm.srcu().read(&mut cx).cx()); //~ may not be entered inside
}

/// The same, seen from `vcpu->mutex`, which `KVM_RUN` holds.
fn kvm_lock_inside_vcpu_mutex(mut cx: Ctx<'_, VcpuIoctl>) {
    enter::<KvmLock, _>(&mut cx); //~ may not be entered inside
}

/// A vCPU in `KVM_RUN` holds its mutex while it waits for a grace period, or for the guest.
fn vcpu_mutex_inside_srcu(mut cx: Ctx<'_, VmIoctl>, vm: Vm<'_>) {
    enter::<VcpuMutex, _>(&mut vm.srcu().read(&mut cx).cx()); //~ may not be entered inside
}

/// A memslot update waits for a grace period with `slots_lock` held.
fn slots_lock_inside_srcu(mut cx: Ctx<'_, InKvmRun>) {
    enter::<SlotsLock, _>(&mut cx); //~ may not be entered inside
}

/// `xen_lock` is a leaf, and is taken inside `kvm->srcu`.
fn slots_lock_under_xen_lock(mut cx: Ctx<'_, VmIoctl>, vm: Vm<'_>) {
    enter::<SlotsLock, _>(&mut vm.lock_xen(&mut cx).cx()); //~ may not be entered inside
}

/// `xen_lock` is a leaf: no mutex inside it but that of a pfn cache.
fn mutex_under_xen_lock(mut cx: Ctx<'_, VmIoctl>, vm: Vm<'_>) {
    enter::<SlotsArchLock, _>(&mut vm.lock_xen(&mut cx).cx()); //~ may not be entered inside
}

/// A mutex is not taken twice.
fn xen_lock_twice(mut cx: Ctx<'_, VmIoctl>, vm: Vm<'_>) {
    vm.lock_xen(&mut vm.lock_xen(&mut cx).cx()); //~ may not be entered inside
}

/// A hypercall is inside `kvm->srcu` already: the type is the proof, nothing is entered again.
fn srcu_twice(mut cx: Ctx<'_, InKvmRun>, vm: Vm<'_>) {
    vm.srcu().read(&mut cx); //~ may not be entered inside
}

/// Readers take `xen_lock`, so the section is entered first, in Rust everywhere.
fn srcu_under_xen_lock(mut cx: Ctx<'_, VmIoctl>, vm: Vm<'_>) {
    vm.srcu().read(&mut vm.lock_xen(&mut cx).cx()); //~ may not be entered inside
}

/// A runstate across two pages: the lock of the first page is taken first.
fn gpc_locks_in_wrong_order(mut cx: Ctx<'_, Within<GpcLock2, InKvmRun>>) {
    enter::<GpcLock, _>(&mut cx); //~ may not be entered inside
}

/// The holder of `refresh_lock` waits for `gpc->lock`.
fn gpc_refresh_lock_inside_gpc_lock(mut cx: Ctx<'_, Within<GpcLock, InKvmRun>>, vm: Vm<'_>) {
    vm.shared_info().deactivate(&mut cx); //~ may not be entered inside
}

/// A reader that refreshes a pfn cache waits until no invalidation is under way.
fn notifier_synchronizes(mut cx: Ctx<'_, Notifier>, vm: Vm<'_>) {
    vm.srcu().wait_for_readers(&mut cx); //~ may not wait for a grace period
}

/// A memslot update waits, with `slots_lock` held, until no invalidation is under way.
fn notifier_takes_slots_lock(mut cx: Ctx<'_, Notifier>) {
    enter::<SlotsLock, _>(&mut cx); //~ may not be entered inside
}

/// It holds `slots_arch_lock` too.
fn notifier_takes_slots_arch_lock(mut cx: Ctx<'_, Notifier>) {
    enter::<SlotsArchLock, _>(&mut cx); //~ may not be entered inside
}

/// A reader that waits for all readers waits for itself.
fn synchronize_inside_srcu(mut cx: Ctx<'_, VmIoctl>, vm: Vm<'_>) {
    vm.srcu()
        .wait_for_readers(&mut vm.srcu().read(&mut cx).cx()); //~ may not wait for a grace period
}

/// `slots_arch_lock` is taken in read sections, and so released before the grace period.
fn synchronize_under_slots_arch_lock(
    mut cx: Ctx<'_, Within<SlotsArchLock, Within<SlotsLock, VmIoctl>>>,
    vm: Vm<'_>,
) {
    vm.srcu().wait_for_readers(&mut cx); //~ may not wait for a grace period
}

/// The reset of ports before it was fixed: hypercalls take the lock inside the section that is
/// waited for.
fn synchronize_under_xen_lock(mut cx: Ctx<'_, VmIoctl>, vm: Vm<'_>) {
    vm.srcu().wait_for_readers(&mut vm.lock_xen(&mut cx).cx()); //~ may not wait for a grace period
}

/// `gpc->lock` is a sleeping lock under `PREEMPT_RT`: the timer may only try it.
fn blocking_gpc_lock_in_hardirq(mut cx: Ctx<'_, TimerHardIrq>, vm: Vm<'_>) {
    vm.gate(&mut vm.srcu().read(&mut cx).cx()); //~ may not be entered
}

/// The scheduler has a vCPU preempted with the lock of a run queue held.
fn blocking_gpc_lock_in_sched_out(mut cx: Ctx<'_, SchedOut>, vm: Vm<'_>) {
    vm.gate(&mut cx); //~ may not be entered
}

/// A refresh looks at the memslots.
fn fault_in_outside_srcu(mut cx: Ctx<'_, VmIoctl>, vm: Vm<'_>) {
    let _ = vm.shared_info().refresh(&mut cx); //~ is not inside a read section
}

/// So does a check of the mapping.
fn map_outside_srcu(mut cx: Ctx<'_, Anywhere>, vm: Vm<'_>) {
    vm.shared_info().try_read(&mut cx); //~ is not inside a read section
}

/// With interrupts off, a guest page can not be faulted in.
fn fault_in_while_atomic(mut cx: Ctx<'_, Within<IrqsOff, InKvmRun>>, vm: Vm<'_>) {
    let _ = vm.shared_info().refresh(&mut cx); //~ may not sleep
}

/// Nor while another page is mapped.
fn fault_in_while_mapped(mut cx: Ctx<'_, InKvmRun>, vm: Vm<'_>) {
    if let Some(mut page) = vm.shared_info().try_read(&mut cx) {
        let _ = vm.shared_info().refresh(&mut page.cx()); //~ may not sleep
    }
}

/// The irqfd workqueue has no address space until it borrows that of the VM.
fn fault_in_without_mm(mut cx: Ctx<'_, SetIrq>, vm: Vm<'_>) {
    let _ = vm.shared_info().refresh(&mut vm.srcu().read(&mut cx).cx()); //~ may not run in the VM's address space
}

/// Nor does it wait for a page where it is woken, though the task may sleep: under `PREEMPT_RT` so does
/// the spinlock that it holds. Who may is a vCPU's task that KVM asks for its interrupts.
fn fault_in_where_an_irqfd_is_woken(mut cx: Ctx<'_, Within<KvmSrcu, Anywhere>>, vcpu: Vcpu<'_>) {
    Asked::assert(vcpu).may_refresh_now(&mut cx); //~ is unsafe and requires unsafe
}

/// An irqfd is woken with the spinlock of a wait queue held, and interrupts off; the timer of a poll
/// is a soft interrupt, and the singleshot timer a hard one.
fn gfp_kernel_in_interrupts(
    mut irqfd: Ctx<'_, Anywhere>,
    mut poll: Ctx<'_, TimerSoftirq>,
    mut timer: Ctx<'_, TimerHardIrq>,
) {
    let _ = Callback::<u32>::new(&mut irqfd, 1); //~ may not sleep
    let _ = Callback::<u32>::new(&mut poll, 1); //~ may not sleep
    let _ = Callback::<u32>::new(&mut timer, 1); //~ may not sleep
}

/// An allocation with `GFP_KERNEL` sleeps.
fn gfp_kernel_while_atomic(mut cx: Ctx<'_, Within<PreemptOff, VmIoctl>>) {
    let _ = Callback::<u32>::new(&mut cx, 1); //~ may not sleep
}

/// With interrupts off by two instructions there is no context that says so.
fn sleep_with_interrupts_off(mut cx: Ctx<'_, VmIoctl>, vm: Vm<'_>) {
    interrupts::without(|| drop(vm.lock_xen(&mut cx))); //~ is unsafe and requires unsafe
}

/// A hard interrupt sleeps for nothing, a mutex included.
fn sleep_in_hardirq(mut cx: Ctx<'_, TimerHardIrq>, vm: Vm<'_>) {
    vm.lock_xen(&mut vm.srcu().read(&mut cx).cx()); //~ may not be entered
}

/// To wake a task takes the lock of a run queue, which the scheduler holds. So does to start a timer.
fn wake_in_sched_out(mut cx: Ctx<'_, SchedOut>, vm: Vm<'_>, vcpu: OwnVcpu<'_>) {
    vcpu.unblock(&mut cx); //~ may not wake a task
    vcpu.inject_upcall_vector(&mut cx); //~ may not wake a task
    vm.request_clock_update(&mut cx); //~ may not sleep
    vcpu.start_timer(&mut cx, 1); //~ may not wake a task
    vcpu.start_poll_timer(&mut cx, 1); //~ may not wake a task
}

/// Code is patched under locks of the kernel's that come before those of a VM.
fn static_key_inside_xen_lock(mut cx: Ctx<'_, VmIoctl>, vm: Vm<'_>) {
    enabled::inc(&mut vm.lock_xen(&mut cx).cx()); //~ may not be entered inside
}

/// A hard interrupt does not wait for the callback that it may have interrupted.
fn timer_cancelled_in_hardirq(mut cx: Ctx<'_, TimerHardIrq>, vcpu: OwnVcpu<'_>) {
    vcpu.cancel_timer(&mut cx); //~ may not sleep
}

/// `SCHEDOP_poll` sleeps as long as the guest likes: not where others would wait so long.
fn sleep_for_guest(
    cx: (
        Ctx<'_, InKvmRun>,
        Ctx<'_, Within<XenLock, VcpuIoctl>>,
        Ctx<'_, Within<VcpuMutex, Within<KvmLock, VmIoctl>>>,
    ),
) {
    const fn as_long_as_the_guest_likes<H: MayWaitForGuest>(_cx: &Ctx<'_, H>) {}
    as_long_as_the_guest_likes(&cx.0); //~ may not sleep for as long as a guest likes
    as_long_as_the_guest_likes(&cx.1); //~ may not sleep for as long as a guest likes
    as_long_as_the_guest_likes(&cx.2); //~ may not sleep for as long as a guest likes
}
