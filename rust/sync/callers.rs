// SPDX-License-Identifier: GPL-2.0

//! The contexts that KVM calls this module in.

#[cfg(not(CONFIG_PREEMPT_RT))]
use super::context::MayTryLock;
use super::{
    context::{
        Held, InKvmSrcu, InVmMm, MayEnter, MayWaitForGuest, MayWaitForSrcu, MayWake, Nothing,
        Within,
    },
    order::{
        Atomic, GpcRefreshLock, HardIrq, Invalidation, KvmSrcu, RunQueue, Softirq, VcpuMutex, VmMm,
    },
};

/// One of these contexts, for the document and the tests.
#[cfg(not(MODULE))]
pub struct Caller {
    /// The type's name.
    pub context: &'static str,
    /// Who calls, a line a string.
    pub doc: &'static [&'static str],
    /// The levels as a set.
    pub levels: u32,
    /// The functions of ours that are called so.
    pub functions: &'static [&'static str],
}

macro_rules! callers {
    ($(
        $(#[doc = $doc:literal])*
        $context:ident = $type:ty, calls [$($function:ident)*];
    )*) => {
        $(
            $(#[doc = $doc])*
            #[allow(dead_code, reason = "declared whether or not it is asserted yet")]
            pub(crate) type $context = $type;
        )*

        /// The contexts that KVM calls this module in.
        #[cfg(not(MODULE))]
        pub const CALLERS: &[Caller] = &[$(Caller {
            context: stringify!($context),
            doc: &[$($doc),*],
            levels: <$type as Held>::LEVELS,
            functions: &[$(stringify!($function)),*],
        }),*];
    };
}

callers! {
    /// An ioctl of a VM, `kvm_arch_vm_ioctl()`: it holds nothing. `kvm_vm_ioctl()` has checked
    /// that the process is the VM's own.
    VmIoctl = Within<VmMm, Nothing>, calls [
        kvm_xen_hvm_set_attr kvm_xen_hvm_get_attr kvm_xen_hvm_config kvm_xen_hvm_evtchn_send
    ];

    /// An ioctl of a vCPU, `kvm_arch_vcpu_ioctl()`, as `kvm_vcpu_ioctl()` calls it.
    VcpuIoctl = Within<VcpuMutex, VmIoctl>, calls [kvm_xen_vcpu_set_attr kvm_xen_vcpu_get_attr];

    /// `KVM_RUN` outside of the guest: `vcpu_run()`, the exit handlers that `vcpu_enter_guest()`
    /// calls, and `complete_userspace_io` from `kvm_arch_vcpu_ioctl_run()`, all inside the
    /// section that this has entered. So is `record_steal_time()`.
    InKvmRun = Within<KvmSrcu, VcpuIoctl>, calls [
        kvm_xen_hypercall kvm_xen_hypercall_complete_userspace kvm_xen_write_hypercall_page
        kvm_xen_inject_pending_events kvm_xen_inject_timer_irqs kvm_xen_update_runstate
    ];

    /// `kvm_arch_vcpu_put()` of a vCPU that is preempted: `context_switch()` holds the lock of
    /// the run queue, with interrupts off, when it calls `kvm_sched_out()`.
    SchedOut = Within<KvmSrcu, Within<RunQueue, Nothing>>, calls [kvm_xen_update_runstate];

    /// Whatever sets an interrupt by `kvm_set_irq()`, which has left its read-side critical section
    /// of `kvm->irq_srcu`: `irqfd_inject()` on a workqueue and `pit_do_work()` on a thread of
    /// KVM's, neither of which has an address space, or `KVM_IRQ_LINE`. It may sleep and holds
    /// nothing.
    SetIrq = Nothing, calls [evtchn_set_fn];

    /// Any context. `irqfd_wakeup()` delivers with interrupts off, the spinlock of a wait queue
    /// and `kvm->irq_srcu` held, on any task that writes to an eventfd; C's timer delivers in
    /// hard interrupt context. Whether an interrupt is pending is asked in `KVM_RUN`, but also
    /// with the task's state set to sleep, by `kvm_vcpu_check_block()`, with interrupts off where
    /// an exit for `HLT` is handled at once, and when `KVM_SET_LAPIC` switches a local APIC on,
    /// outside of `kvm->srcu`. Whether a lock may be tried is looked up (`kvm/task.rs`), under
    /// `PREEMPT_RT`, where the spinlock of a wait queue leaves interrupts on.
    Anywhere = Within<Atomic, Nothing>, calls [kvm_xen_set_evtchn_fast __kvm_xen_has_interrupt];

    /// The `hrtimer` of a vCPU, which is a hard one.
    TimerHardIrq = Within<HardIrq, Nothing>, calls [xen_timer_callback];

    /// The `timer_list` of a vCPU that polls.
    TimerSoftirq = Within<Softirq, Nothing>, calls [cancel_evtchn_poll];

    /// `kvm_arch_init_vm()` and `kvm_arch_vcpu_create()`: an ioctl that holds nothing, not even
    /// the mutex of the vCPU, which no one else can reach yet.
    Creation = Within<VmMm, Nothing>, calls [kvm_xen_init_vm kvm_xen_init_vcpu];

    /// `kvm_arch_destroy_vm()` and `kvm_arch_vcpu_destroy()`: whoever drops the last reference,
    /// in any address space. It may sleep and holds nothing; no one else can reach the VM.
    Destruction = Nothing, calls [kvm_xen_destroy_vcpu kvm_xen_destroy_vm];

    /// An MMU notifier between its start and its end. It calls nothing of ours, only
    /// `gfn_to_pfn_cache_invalidate_start()`, which takes `gpc->lock`.
    Notifier = Within<Invalidation, Nothing>, calls [];
}

// What the callers' contexts allow, where it is not what one might think. What they forbid are
// the cases in tools-testing/types.
const _: () = {
    const fn may_wait_for_srcu<H: MayWaitForSrcu>() {}
    const fn may_wait_for_guest<H: MayWaitForGuest>() {}
    const fn may_fault<H: InVmMm + MayEnter<GpcRefreshLock>>() {}
    const fn may_enter_srcu<H: MayEnter<KvmSrcu> + MayWake>() {}
    #[cfg(not(CONFIG_PREEMPT_RT))]
    const fn may_try<H: MayTryLock>() {}
    const fn in_srcu<H: InKvmSrcu>() {}

    may_wait_for_srcu::<Creation>();
    may_wait_for_srcu::<Destruction>();
    may_wait_for_guest::<VcpuIoctl>();
    may_fault::<InKvmRun>();
    may_enter_srcu::<Anywhere>();
    may_enter_srcu::<TimerHardIrq>();
    may_enter_srcu::<TimerSoftirq>();
    in_srcu::<SchedOut>();
    #[cfg(not(CONFIG_PREEMPT_RT))]
    {
        may_try::<Anywhere>();
        may_try::<TimerHardIrq>();
        may_try::<SchedOut>();
    }
    assert!(!SchedOut::SLEEPS && !Notifier::SLEEPS && InKvmRun::SLEEPS);
    assert!(InKvmRun::LEVELS & VcpuIoctl::LEVELS == VcpuIoctl::LEVELS);
};
