// SPDX-License-Identifier: GPL-2.0

//! `kvm->srcu`, in its place in the lock order.

use super::{
    order::KvmSrcu,
    srcu::{Callback, DropAnywhere, Guard, Srcu},
    Ctx, Held, MayEnter, MayWaitForSrcu, Within,
};

/// The `kvm->srcu` of a VM, which has a place in the lock order.
///
/// # Examples
///
/// ```
/// use crate::{kvm::Vm, prelude::*, sync::{Ctx, VmIoctl}};
///
/// /// Has `shared_info` mapped again if its page has moved.
/// fn refresh(cx: &mut Ctx<'_, VmIoctl>, vm: Vm<'_>) -> Result {
///     let mut section = vm.srcu().read(cx);
///     vm.shared_info().refresh(&mut section.cx())
/// }
///
/// /// Waits until whoever is in such a section has left it.
/// fn wait(cx: &mut Ctx<'_, VmIoctl>, vm: Vm<'_>) {
///     vm.srcu().wait_for_readers(cx);
/// }
/// ```
#[derive(Clone, Copy)]
pub(crate) struct OfVm<'a>(Srcu<'a>);

/// A read-side critical section of `kvm->srcu`, and the context inside it.
pub(crate) struct VmGuard<'g, H> {
    outside: Ctx<'g, H>,
    _guard: Guard<'g>,
}

impl<'a> OfVm<'a> {
    /// Gives an SRCU the place of `kvm->srcu` in the lock order.
    ///
    /// # Safety
    ///
    /// `srcu` is the `kvm->srcu` of the VM that all contexts it is used with belong to.
    pub(crate) const unsafe fn new(srcu: Srcu<'a>) -> Self {
        Self(srcu)
    }

    /// Enters a read-side critical section. Any context that is not in one.
    pub(crate) fn read<'g, H: MayEnter<KvmSrcu>>(self, cx: &'g mut Ctx<'_, H>) -> VmGuard<'g, H>
    where
        'a: 'g,
    {
        VmGuard {
            outside: cx.reborrow(),
            _guard: self.0.read_lock(),
        }
    }

    /// Waits until no read-side critical section is left that could have seen what was unpublished
    /// before.
    ///
    /// Expedited, as KVM waits for memslots: readers are short, or sleep as the guest likes, and
    /// then waiting in the ordinary way is no cheaper for anybody. May sleep.
    pub(crate) fn wait_for_readers<H: MayWaitForSrcu>(self, _cx: &mut Ctx<'_, H>) {
        // SAFETY: `MayWaitForSrcu` is implemented for contexts that may sleep and are inside of no
        // level that is, or is taken in, a read-side critical section of `kvm->srcu`.
        unsafe { self.0.synchronize_expedited() }
    }

    /// Has `payload` dropped when no read-side critical section is left that could have seen what
    /// was unpublished before: see [`Srcu::call`]. Any context.
    pub(super) fn call<T: DropAnywhere>(self, callback: Callback<T>, payload: T) {
        self.0.call(callback, payload);
    }
}

impl<H: Held> VmGuard<'_, H> {
    /// The context inside the read-side critical section.
    pub(crate) fn cx(&mut self) -> Ctx<'_, Within<KvmSrcu, H>> {
        // By value, for as long as the guard is borrowed: a reference could be swapped for that of
        // another guard, and outlive this one.
        // SAFETY: The read-side critical section lasts as long as the guard, which is borrowed.
        unsafe { self.outside.enter() }
    }
}
