// SPDX-License-Identifier: GPL-2.0

//! `gpc->lock` held for writing: to wait for those who hold it for reading.

use super::{rwlock, Gpc};
use crate::{
    bindings,
    sync::{order::GpcLock, Ctx, MayEnter, MaySleep},
};
use kernel::types::NotThreadSafe;

/// A cache with its lock held for writing, and interrupts off.
///
/// # Examples
///
/// ```
/// use crate::{kvm::Vm, sync::{Ctx, VmIoctl}};
///
/// /// Waits for hypercalls that have looked at the table of ports, and still use what they found.
/// fn wait(cx: &mut Ctx<'_, VmIoctl>, vm: Vm<'_>) {
///     drop(vm.shared_info().lock_alone(cx));
/// }
/// ```
///
/// # Invariants
///
/// `gpc->lock` is held for writing, and interrupts were on before.
pub(crate) struct LockedAlone<'g, S>(Gpc<'g, S>, NotThreadSafe);

impl<S> Drop for LockedAlone<'_, S> {
    fn drop(&mut self) {
        // SAFETY: By the invariant the lock is held, and interrupts were on before.
        unsafe { bindings::kvm_xen_rs_write_unlock_irq(self.0.raw.rwlock().as_ptr()) }
    }
}

impl<'a, S> Gpc<'a, S> {
    /// Takes the lock for writing. Spins, for as long as it takes a reader to set a few bits.
    ///
    /// The caller has interrupts on: that is why this is for contexts that may sleep.
    pub(crate) fn lock_alone<'g, H>(self, _cx: &'g mut Ctx<'_, H>) -> LockedAlone<'g, S>
    where
        'a: 'g,
        H: MaySleep + MayEnter<GpcLock>,
    {
        // SAFETY: The lock is initialized with the cache, and the lock order allows to wait for it. Where
        // a task may sleep interrupts are on.
        unsafe { bindings::kvm_xen_rs_write_lock_irq(self.raw.rwlock().as_ptr()) };
        // INVARIANT: Just taken.
        LockedAlone(self, NotThreadSafe)
    }

    /// Waits until all who hold the lock for reading now have released it: what they could find
    /// before, nobody acts on any more. Mostly there is none; else this spins as
    /// [`lock_alone`](Gpc::lock_alone).
    pub(crate) fn wait_for_readers<H: MaySleep + MayEnter<GpcLock>>(self, cx: &mut Ctx<'_, H>) {
        // SAFETY: The lock is initialized with the cache.
        if unsafe { rwlock::may_have_readers(self.raw.rwlock()) } {
            drop(self.lock_alone(cx));
        }
    }
}
