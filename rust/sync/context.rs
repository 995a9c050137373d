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
//! The C boundary asserts a context ([`Ctx::assert`]), one of those in `callers.rs`, and others are
//! derived from it. Where one is exchanged for another that allows no more (`weaken.rs`,
//! and few places that look it up at run time), that is asserted there.

use super::order::{Asleep, AtOnce, Before, KvmSrcu, Level, Spinning, VmMm};
use core::marker::PhantomData;

/// Inside of nothing.
pub(crate) struct Nothing;

/// Inside of `L`, which was entered inside of `H`.
///
/// # Examples
///
/// ```
/// use crate::sync::{context::Nothing, order::{Id, KvmSrcu, VmMm}, Held, Within};
///
/// /// In the VM's process, in a read-side critical section.
/// type Reader = Within<KvmSrcu, Within<VmMm, Nothing>>;
///
/// assert_eq!(Reader::LEVELS, 1 << Id::KvmSrcu as u32 | 1 << Id::VmMm as u32);
/// ```
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
/// # Examples
///
/// ```
/// use crate::sync::{order::{GpcRefreshLock, XenLock}, InKvmRun, MayEnter, Within};
///
/// const fn may_enter<L, H: MayEnter<L>>() {}
///
/// // A hypercall takes `xen_lock`, and inside that the lock of a pfn cache.
/// const _: () = may_enter::<XenLock, InKvmRun>();
/// const _: () = may_enter::<GpcRefreshLock, Within<XenLock, InKvmRun>>();
/// ```
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
///
/// # Examples
///
/// A function says what it needs, and its callers hand on what they have:
///
/// ```
/// use crate::sync::{Ctx, InKvmRun, InKvmSrcu, MaySleep};
///
/// fn read_guest<H: InKvmSrcu + MaySleep>(_cx: &mut Ctx<'_, H>) {}
///
/// fn hypercall(cx: &mut Ctx<'_, InKvmRun>) {
///     read_guest(cx);
///     read_guest(cx);
/// }
///
/// assert_eq!(size_of::<Ctx<'_, InKvmRun>>(), 0);
/// ```
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
    pub(crate) unsafe fn assert() -> Self {
        // INVARIANT: By the safety requirement.
        Self {
            _lifetime: PhantomData,
            _held: PhantomData,
        }
    }

    /// The same context, for as long as this is borrowed.
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
    pub(crate) unsafe fn leave(&mut self) -> Ctx<'_, H> {
        // INVARIANT: By the safety requirement. `self` is borrowed, so that nobody relies on its
        // own invariant meanwhile.
        Ctx {
            _lifetime: PhantomData,
            _held: PhantomData,
        }
    }
}
