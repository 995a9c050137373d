// SPDX-License-Identifier: GPL-2.0

//! Contexts: what the current task is inside of, as a type.
//!
//! A [`Ctx`] is a token without size. Its type lists the levels that the task is inside of,
//! innermost first, and bounds on that list say what a function needs: `H: MaySleep`,
//! `H: MayEnter<XenLock>`, `H: InKvmSrcu`. To enter a level borrows the token for as long as the
//! level is held, and hands out the token of the inside; so a context can't be used while a guard
//! made from it lives, and no guard outlives its context.
//!
//! Unsafe code relies on what the traits here say of a list, so they are unsafe to implement: only
//! the table in `order.rs` and the rules below do. Each says, as its safety requirement, what is
//! then so of every task with a [`Ctx`] of that list.
//!
//! The C boundary asserts a context ([`Ctx::assert`]), one of those at the end of this file, and
//! others are derived from it. Where one is exchanged for another that allows no more (`weaken.rs`,
//! and few places that look it up at run time), that is asserted there.

use super::order::{
    Asleep, AtOnce, Atomic, Before, GpcRefreshLock, HardIrq, Invalidation, KvmSrcu, Level,
    RunQueue, Softirq, Spinning, VcpuMutex, VmMm,
};
use core::marker::PhantomData;

/// Inside of nothing.
pub(crate) struct Nothing;

/// Inside of `L`, which was entered inside of `H`.
pub(crate) struct Within<L, H>(PhantomData<fn() -> (L, H)>);

/// A list of levels.
///
/// # Safety
///
/// The constants are those of the levels that the list is made of.
pub(crate) unsafe trait Held {
    /// The levels as a set: a bit for each, by its number.
    const LEVELS: u32;
    /// Whether a task inside of them may sleep.
    const SLEEPS: bool;
}

// SAFETY: There are none in it.
unsafe impl Held for Nothing {
    const LEVELS: u32 = 0;
    const SLEEPS: bool = true;
}

// SAFETY: The constants are made of those of the innermost level and of the rest of the list.
unsafe impl<L: Level, H: Held> Held for Within<L, H> {
    const LEVELS: u32 = (1 << L::ID as u32) | H::LEVELS;
    const SLEEPS: bool = L::SLEEPS && H::SLEEPS;
}

/// `L` may be entered here: it comes after the innermost level, and so after all of them, and the
/// context may wait in the way that takes.
///
/// # Safety
///
/// A task inside of the list may enter `L` by the lock order, and wait for it in the way of its
/// entry.
#[diagnostic::on_unimplemented(
    message = "`{L}` may not be entered in the context `{Self}`",
    label = "the context forbids this",
    note = "the order is declared in rust/sync/order.rs"
)]
pub(crate) unsafe trait MayEnter<L>: Held {}
// SAFETY: What is inside of nothing may enter and wait for anything.
unsafe impl<L: Level> MayEnter<L> for Nothing {}
// SAFETY: The innermost level comes before `L`, and so do those outside of it, as the order is
// transitive; and the wait is allowed.
unsafe impl<L: Level, Top: Before<L>, H: Held> MayEnter<L> for Within<Top, H> where
    Self: MayWait<L::Entry>
{
}

/// The context may wait in the way `E` for a level to be free.
///
/// # Safety
///
/// A task inside of the list may wait in the way `E`.
pub(crate) unsafe trait MayWait<E>: Held {}
// SAFETY: To wait asleep is to sleep.
unsafe impl<H: MaySleep> MayWait<Asleep> for H {}
// SAFETY: What is waited for is a lock that may be spun for.
unsafe impl<H: MaySpin> MayWait<Spinning> for H {}
// SAFETY: There is no wait.
unsafe impl<H: Held> MayWait<AtOnce> for H {}

/// The task may spin for a lock that is a sleeping one under `PREEMPT_RT`.
///
/// # Safety
///
/// A task inside of the list may spin for such a lock.
#[diagnostic::on_unimplemented(
    message = "the context `{Self}` may not spin for a lock of KVM's",
    label = "this may have to wait"
)]
pub(crate) unsafe trait MaySpin: MayTryLock {}
// SAFETY: Inside of nothing, nothing forbids it.
unsafe impl MaySpin for Nothing {}

/// A lock may be tried here that is a sleeping one under `PREEMPT_RT`. To try it never waits, but
/// there its release does more than that of a spinlock: whoever releases it as the last reader,
/// with a writer in wait, takes a raw spinlock, switches interrupts on, and wakes the writer
/// (`__rwbase_read_unlock()`).
///
/// # Safety
///
/// A task inside of the list may try such a lock and release it.
#[diagnostic::on_unimplemented(
    message = "the context `{Self}` may not try a lock of KVM's",
    label = "its release may switch interrupts on and wake a task, under `PREEMPT_RT`"
)]
pub(crate) unsafe trait MayTryLock: Held {}
// SAFETY: Inside of nothing, nothing forbids it.
unsafe impl MayTryLock for Nothing {}

/// The task may sleep here, allocate with `GFP_KERNEL`, and wait for a mutex.
///
/// # Safety
///
/// A task inside of the list may sleep.
#[diagnostic::on_unimplemented(
    message = "the context `{Self}` may not sleep",
    label = "this may sleep"
)]
pub(crate) unsafe trait MaySleep: MaySpin {}
// SAFETY: Inside of nothing, nothing forbids it.
unsafe impl MaySleep for Nothing {}

/// The task may sleep here for as long as a guest likes: nobody waits for what it is inside of,
/// but for those who wait for that vCPU.
///
/// # Safety
///
/// A task inside of the list may sleep for as long as a guest likes.
#[diagnostic::on_unimplemented(
    message = "the context `{Self}` may not sleep for as long as a guest likes",
    label = "this ends when the guest likes, and others would wait so long"
)]
pub(crate) unsafe trait MayWaitForGuest: MaySleep {}
// SAFETY: Inside of nothing, nothing forbids it.
unsafe impl MayWaitForGuest for Nothing {}

/// A grace period of `kvm->srcu` may be awaited here.
///
/// # Safety
///
/// A task inside of the list may wait for such a grace period: it is in no such section, and holds nothing that is
/// taken in one.
#[diagnostic::on_unimplemented(
    message = "the context `{Self}` may not wait for a grace period of `kvm->srcu`",
    label = "this waits for readers that may wait for the context"
)]
pub(crate) unsafe trait MayWaitForSrcu: MaySleep {}
// SAFETY: Inside of nothing, nothing forbids it.
unsafe impl MayWaitForSrcu for Nothing {}

/// Another task may be woken here.
///
/// # Safety
///
/// A task inside of the list may wake another.
#[diagnostic::on_unimplemented(
    message = "the context `{Self}` may not wake a task",
    label = "the scheduler's lock is held"
)]
pub(crate) unsafe trait MayWake: Held {}
// SAFETY: Inside of nothing, nothing forbids it.
unsafe impl MayWake for Nothing {}

/// The task is inside a read-side critical section of `kvm->srcu`: memslots and sending ports that
/// were looked up stay.
///
/// # Safety
///
/// A task inside of the list is inside a read-side critical section of the `kvm->srcu` of its VM.
#[diagnostic::on_unimplemented(
    message = "the context `{Self}` is not inside a read section of `kvm->srcu`",
    label = "this reads what `kvm->srcu` protects"
)]
pub(crate) unsafe trait InKvmSrcu: Held {}
// SAFETY: That is the level.
unsafe impl<H: Held> InKvmSrcu for Within<KvmSrcu, H> {}

/// The VM's address space is the current one, so its pages can be faulted in.
///
/// # Safety
///
/// A task inside of the list is in the address space of its VM.
#[diagnostic::on_unimplemented(
    message = "the context `{Self}` may not run in the VM's address space",
    label = "this may fault in a guest page"
)]
pub(crate) unsafe trait InVmMm: Held {}
// SAFETY: That is the level.
unsafe impl<H: Held> InVmMm for Within<VmMm, H> {}

/// Evidence of what the current task may do: no less than inside of the levels in `H`.
///
/// # Invariants
///
/// For the lifetime `'c` the task may enter, wait for, wake and sleep as one that is inside of the
/// levels in `H` and of no others. Of these it is in fact inside of [`KvmSrcu`], [`VmMm`] and
/// [`GpcLock`](super::order::GpcLock), where `H` has them: that gives a right. Any other level only
/// forbids, and may stand for what the task might as well be inside of.
pub(crate) struct Ctx<'c, H> {
    _lifetime: PhantomData<&'c mut ()>,
    // A context is a task's own: neither `Send` nor `Sync`.
    _held: PhantomData<*mut H>,
}

impl<H: Held> Ctx<'_, H> {
    /// Makes a context, as the caller promises it.
    ///
    /// # Safety
    ///
    /// The invariants of [`Ctx`] hold of `H`, while the value lives.
    #[inline(always)]
    pub(crate) unsafe fn assert() -> Self {
        // INVARIANT: By the safety requirement.
        Self {
            _lifetime: PhantomData,
            _held: PhantomData,
        }
    }

    /// The same context, for as long as this is borrowed.
    #[inline(always)]
    pub(crate) fn reborrow(&mut self) -> Ctx<'_, H> {
        // INVARIANT: By the invariant of `self`, which is borrowed.
        Ctx {
            _lifetime: PhantomData,
            _held: PhantomData,
        }
    }

    /// The context inside `L`.
    ///
    /// # Safety
    ///
    /// The task is inside of `L` for as long as the value returned lives.
    #[inline(always)]
    pub(crate) unsafe fn enter<L: Level>(&mut self) -> Ctx<'_, Within<L, H>> {
        // INVARIANT: By the safety requirement, and by the invariant of `self`, which is borrowed.
        Ctx {
            _lifetime: PhantomData,
            _held: PhantomData,
        }
    }
}

impl<H: Held> Ctx<'_, Within<KvmSrcu, H>> {
    /// The context outside of the read-side critical section, which the task has left for a while.
    ///
    /// What was looked up inside borrows `self` too, and so can't be kept over this.
    ///
    /// # Safety
    ///
    /// The task has left the read-side critical section, enters one again before `self` is next
    /// used, and in between stays inside of `H`.
    #[inline(always)]
    pub(crate) unsafe fn leave(&mut self) -> Ctx<'_, H> {
        // INVARIANT: By the safety requirement. `self` is borrowed, so that nobody relies on its
        // own invariant meanwhile.
        Ctx {
            _lifetime: PhantomData,
            _held: PhantomData,
        }
    }
}

/// One of the contexts below, for the document and the tests.
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
