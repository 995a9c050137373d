// SPDX-License-Identifier: GPL-2.0

//! Contexts: what the current task is inside of, as a type.
//!
//! A [`Ctx`] is a token without size. Its type lists the levels that the task is inside of,
//! innermost first, and bounds on that list say what a function needs: `H: MaySleep`,
//! `H: MayEnter<XenLock>`, `H: InKvmSrcu`. To enter a level borrows the token for as long as the
//! level is held, and hands out the token of the inside; so a context can't be used, nor
//! outlived, behind the back of a guard.
//!
//! Only the C boundary asserts a context ([`Ctx::assert`]); everything else derives one.

use super::order::{
    Atomic, Before, GpcLock, GpcRefreshLock, IrqSrcu, KvmLock, KvmSrcu, Level, SlotsArchLock,
    SlotsLock, VcpuMutex, VmMm, XenLock,
};
use core::marker::PhantomData;

/// Inside of nothing.
pub(crate) struct Nothing;

/// Inside of `L`, which was entered inside of `H`.
pub(crate) struct Within<L, H>(PhantomData<fn() -> (L, H)>);

/// A list of levels.
pub(crate) trait Held {}
impl Held for Nothing {}
impl<L: Level, H: Held> Held for Within<L, H> {}

/// `L` may be entered here.
#[diagnostic::on_unimplemented(
    message = "`{L}` may not be entered in the context `{Self}`",
    label = "the lock order forbids this",
    note = "the order is declared in rust/sync/order.rs"
)]
pub(crate) trait MayEnter<L>: Held {}
impl<L: Level> MayEnter<L> for Nothing {}
impl<L: Level, Top: Before<L>, H: Held> MayEnter<L> for Within<Top, H> {}

/// The task may sleep here, allocate with `GFP_KERNEL`, and wait for a mutex.
#[diagnostic::on_unimplemented(
    message = "the context `{Self}` may not sleep",
    label = "this may sleep"
)]
pub(crate) trait MaySleep: Held {}
impl MaySleep for Nothing {}

/// A grace period of `kvm->srcu` may be awaited here.
#[diagnostic::on_unimplemented(
    message = "the context `{Self}` may not wait for a grace period of `kvm->srcu`",
    label = "this waits for readers that may wait for the context"
)]
pub(crate) trait MayWaitForSrcu: MaySleep {}
impl MayWaitForSrcu for Nothing {}

/// The task is inside a read section of `kvm->srcu`: memslots and sending ports that were looked
/// up stay.
#[diagnostic::on_unimplemented(
    message = "the context `{Self}` is not inside a read section of `kvm->srcu`",
    label = "this reads what `kvm->srcu` protects"
)]
pub(crate) trait InKvmSrcu: Held {}
impl<H: Held> InKvmSrcu for Within<KvmSrcu, H> {}

/// The VM's address space is the current one, so its pages can be faulted in.
#[diagnostic::on_unimplemented(
    message = "the context `{Self}` may not run in the VM's address space",
    label = "this may fault in a guest page"
)]
pub(crate) trait InVmMm: Held {}
impl<H: Held> InVmMm for Within<VmMm, H> {}

/// What is so outside of a level is so inside of it.
macro_rules! inherit {
    ($($property:ident: $($level:ident),+;)*) => {$($(
        impl<H: $property> $property for Within<$level, H> {}
    )+)*};
}

inherit! {
    InKvmSrcu: SlotsArchLock, XenLock, GpcRefreshLock, GpcLock;
    InVmMm: KvmLock, VcpuMutex, SlotsLock, IrqSrcu, KvmSrcu, SlotsArchLock, XenLock, GpcRefreshLock;
}

/// An ioctl of a VM.
pub(crate) type VmIoctl = Within<VmMm, Nothing>;

/// Whatever sets an interrupt: the irqfd workqueue, the PIT's thread, or `KVM_IRQ_LINE`. It may
/// sleep and holds nothing; `kvm_set_irq()` has left its read section of `kvm->irq_srcu`.
pub(crate) type SetIrq = Nothing;

/// Any context, a hard interrupt among them.
pub(crate) type Anywhere = Within<Atomic, Nothing>;

/// Evidence that the current task is inside of the levels in `H`.
///
/// # Invariants
///
/// The task is inside of all levels in `H`, and leaves none of them for the lifetime `'c`.
pub(crate) struct Ctx<'c, H> {
    _lifetime: PhantomData<&'c mut ()>,
    // A context is a task's own: neither `Send` nor `Sync`.
    _held: PhantomData<*mut H>,
}

impl<H: Held> Ctx<'_, H> {
    /// Takes the caller's word for the context.
    ///
    /// # Safety
    ///
    /// The task is inside of all levels in `H`, stays so while the value lives, and what the
    /// levels imply of sleeping and address space is so.
    #[inline(always)]
    pub(crate) unsafe fn assert() -> Self {
        // INVARIANT: By the safety requirement.
        Self {
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
