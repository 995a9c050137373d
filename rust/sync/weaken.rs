// SPDX-License-Identifier: GPL-2.0

//! Contexts for those who need not know more.
//!
//! A function for all contexts with some property is compiled once for each of them. One that does
//! more than hand on takes the weakest of these contexts instead, to which every other can be
//! turned: what may be done in the weakest may be done in all.

use super::{
    order::{GpcRefreshLock, KvmSrcu, XenLock},
    Anywhere, Ctx, InKvmSrcu, InVmMm, MayEnter, MaySleep, MayWake, SchedOut, VmIoctl, Within,
};

/// In a read section of `kvm->srcu`, and nothing else known: it may neither sleep nor wake.
pub(crate) type InSection = SchedOut;

/// Where an event can be delivered, and nothing else known: it may not sleep.
pub(crate) type MayDeliver = Within<KvmSrcu, Anywhere>;

/// Where a pfn cache can be refreshed, and nothing else known: no other lock may be taken.
pub(crate) type MayRefresh = Within<XenLock, Within<KvmSrcu, VmIoctl>>;

impl<H: MayEnter<KvmSrcu> + MayWake> Ctx<'_, H> {
    /// This context, as one of which nothing is known.
    #[inline(always)]
    pub(crate) fn anywhere(&mut self) -> Ctx<'_, Anywhere> {
        // SAFETY: The task may wake others and is not in a read section, or may enter another. All
        // else that follows from `Atomic` is what may not be done.
        unsafe { Ctx::assert() }
    }
}

impl<H: InKvmSrcu> Ctx<'_, H> {
    /// This context, as one of which no more is known than the read section.
    #[inline(always)]
    pub(crate) fn in_section(&mut self) -> Ctx<'_, InSection> {
        // SAFETY: The task is in a read section. All that follows from the lock of the run queue
        // is what may not be done.
        unsafe { Ctx::assert() }
    }
}

impl<H: InKvmSrcu + MayWake> Ctx<'_, H> {
    /// This context, as one of which no more is known than that events can be delivered.
    #[inline(always)]
    pub(crate) fn may_deliver(&mut self) -> Ctx<'_, MayDeliver> {
        // SAFETY: The task is in a read section, and may wake others. All else that follows from
        // `Atomic` is what may not be done.
        unsafe { Ctx::assert() }
    }
}

impl<H> Ctx<'_, H>
where
    H: InKvmSrcu + InVmMm + MaySleep + MayEnter<GpcRefreshLock>,
{
    /// This context, as one of which no more is known than that pfn caches can be refreshed.
    #[inline(always)]
    pub(crate) fn may_refresh(&mut self) -> Ctx<'_, MayRefresh> {
        // SAFETY: The task is in a read section, in the VM's address space, and may sleep. All that
        // follows from `xen_lock` is what may not be done.
        unsafe { Ctx::assert() }
    }
}
