// SPDX-License-Identifier: GPL-2.0

//! What was taken from readers in `kvm->srcu`, until none of them looks at it any more.

use super::{
    srcu::{Callback, DropAnywhere},
    vm_srcu::OfVm,
    Ctx, MayWaitForSrcu,
};
use core::mem::ManuallyDrop;

/// What new readers in `kvm->srcu` do not find any more, but older ones may still look at.
///
/// If it is dropped without a grace period, the value is leaked, and not freed while they may look
/// at it.
///
/// # Examples
///
/// ```
/// use crate::{kvm::Vm, prelude::*, sync::{srcu::Callback, Ctx, VmIoctl}};
///
/// /// Takes the sender of a port away, and does not wait until it is freed, but for want of memory.
/// fn deassign(cx: &mut Ctx<'_, VmIoctl>, vm: Vm<'_>, port: u32) -> Result {
///     let sender = vm.lock_xen(cx).remove_sender(port).ok_or(ENOENT)?;
///     match Callback::new(cx, 1) {
///         Ok(callback) => sender.free_later(callback),
///         Err(_) => sender.free(cx),
///     }
///     Ok(())
/// }
/// ```
#[must_use = "it is leaked unless it is freed"]
pub(crate) struct Retired<'a, T> {
    value: ManuallyDrop<T>,
    srcu: OfVm<'a>,
}

impl<'a, T> Retired<'a, T> {
    /// Marks a value as no more to be found by new readers in `srcu`.
    pub(crate) const fn new(value: T, srcu: OfVm<'a>) -> Self {
        Self {
            value: ManuallyDrop::new(value),
            srcu,
        }
    }

    /// What readers may still look at, too.
    pub(crate) fn get(&self) -> &T {
        &self.value
    }

    /// Waits for the readers, and frees it. May sleep.
    pub(crate) fn free<H: MayWaitForSrcu>(self, cx: &mut Ctx<'_, H>) {
        self.srcu.wait_for_readers(cx);
        drop(ManuallyDrop::into_inner(self.value));
    }

    /// Has it freed when the readers are gone. Does not wait.
    pub(crate) fn free_later(self, callback: Callback<T>)
    where
        T: DropAnywhere,
    {
        self.srcu
            .call(callback, ManuallyDrop::into_inner(self.value));
    }
}
