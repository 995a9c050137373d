// SPDX-License-Identifier: GPL-2.0

//! Senders that were taken out of the table, until nobody looks at them any more.

use crate::{
    kvm::Vm,
    livepatch::transition,
    sync::{order::GpcLock, srcu::Room, vm_srcu::OfVm, Ctx, MayEnter, MayWaitForSrcu},
};
use core::mem::ManuallyDrop;

/// What has been taken from readers in `kvm->srcu`, some of which may still look at it.
///
/// Dropped without a grace period, it is leaked rather than freed under them.
#[must_use = "it is leaked unless it is freed"]
pub(crate) struct Retired<T>(ManuallyDrop<T>);

impl<T> Retired<T> {
    /// Marks something as no more to be found by new readers.
    pub(crate) fn new(retired: T) -> Self {
        Self(ManuallyDrop::new(retired))
    }

    /// What is inside.
    fn into_inner(self) -> T {
        ManuallyDrop::into_inner(self.0)
    }

    /// Waits for the readers, and frees it. Nothing is sent through it any more. May sleep.
    fn free<H: MayWaitForSrcu>(self, srcu: OfVm<'_>, cx: &mut Ctx<'_, H>) {
        srcu.wait_for_readers(cx);
        drop(self.into_inner());
    }
}

/// What is sent through may be more than ports of the guest's.
pub(crate) trait LeadsOut {
    /// Whether it leads to an eventfd.
    fn leads_out(&self) -> bool;
}

impl<T: LeadsOut + Send + 'static> Retired<T> {
    /// Waits until nothing is sent through it any more, and sees to it that it is freed. May
    /// sleep, but mostly takes no time.
    pub(crate) fn retire<H>(self, cx: &mut Ctx<'_, H>, vm: Vm<'_>)
    where
        H: MayWaitForSrcu + MayEnter<GpcLock>,
    {
        // C's hypercalls do not look senders up inside the lock, nor are eventfds signalled there.
        if transition::is_over() && !self.0.leads_out() {
            if let Ok(room) = Room::new(cx.gfp_kernel()) {
                vm.shared_info().wait_for_readers(cx);
                vm.srcu().call(room, self.into_inner());
                return;
            }
        }
        self.free(vm.srcu(), cx);
    }
}
