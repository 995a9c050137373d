// SPDX-License-Identifier: GPL-2.0

//! The module's levels and contexts themselves, and stand-ins for its guards and for what has a
//! context for a parameter. A stand-in has the bounds of the real one, word for word where there
//! is one: `tests/bounds.rs` compares them.

#[path = "../../../../../rust/sync/context.rs"]
#[allow(unexpected_cfgs)]
pub mod context;
#[path = "../../../../../rust/sync/order.rs"]
#[allow(unexpected_cfgs)]
pub mod order;

pub(crate) use context::*;
pub(crate) use order::*;

/// A level that is held, and the context inside it.
pub(crate) struct Guard<'g, L, H>(Ctx<'g, Within<L, H>>, std::marker::PhantomData<L>);

impl<'g, L, H> Guard<'g, L, H> {
    pub(crate) fn cx(&mut self) -> &mut Ctx<'g, Within<L, H>> {
        &mut self.0
    }
}

impl<L, H> Drop for Guard<'_, L, H> {
    fn drop(&mut self) {}
}

/// Enters a level: takes a lock and waits for it, enters a read section, switches interrupts off.
pub(crate) fn enter<'g, L: Level, H: MayEnter<L>>(cx: &'g mut Ctx<'_, H>) -> Guard<'g, L, H> {
    // SAFETY: This is never run.
    Guard(unsafe { cx.enter() }, std::marker::PhantomData)
}

/// What C's caller asserts.
pub(crate) fn assert<H: Held>() -> Ctx<'static, H> {
    // SAFETY: This is never run.
    unsafe { Ctx::assert() }
}

/// `OfVm::wait_for_readers()`: `synchronize_srcu(&kvm->srcu)`.
pub(crate) fn synchronize<H: MayWaitForSrcu>(_cx: &mut Ctx<'_, H>) {}

/// `Gpc::refresh()`: faults in a guest page.
pub(crate) fn refresh<H>(_cx: &mut Ctx<'_, H>)
where
    H: InKvmSrcu + InVmMm + MaySleep + MayEnter<GpcRefreshLock>,
{
}

/// `Gpc::try_read()`: maps without waiting.
pub(crate) fn try_read<'g, H: InKvmSrcu + MayTryLock>(_cx: &'g mut Ctx<'_, H>) -> Option<Mapping<'g>> {
    None
}

/// A page that is mapped.
pub(crate) struct Mapping<'g>(std::marker::PhantomData<&'g mut ()>);

/// `Ctx::gfp_kernel()`: an allocation with `GFP_KERNEL`.
pub(crate) fn gfp_kernel<H: MaySleep>(_cx: &mut Ctx<'_, H>) {}

/// `Vcpu::halt()`: sleeps as long as the guest likes.
pub(crate) fn halt<H: MayWaitForGuest>(_cx: &mut Ctx<'_, H>) {}

/// `kvm_vcpu_kick()`: wakes a task.
pub(crate) fn kick<H: MayWake>(_cx: &mut Ctx<'_, H>) {}

/// A sender that was looked up in a read section, with `Gpc::lock()` held.
pub(crate) fn find<'c, H: InKvmSrcu>(_cx: &'c Ctx<'_, H>) -> &'c u32 {
    &0
}
