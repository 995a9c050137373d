// SPDX-License-Identifier: GPL-2.0

//! Contexts that say no more than a function needs.
//!
//! A function for all contexts with some property is compiled once for each of them. A function of
//! some size takes the weakest of these contexts instead, to which every other can be turned: what
//! may be done in the weakest may be done in all.
//!
//! # Examples
//!
//! ```
//! use crate::sync::{Ctx, InKvmRun, MayDeliver, MayRefresh};
//!
//! fn try_deliver(_cx: &mut Ctx<'_, MayDeliver>) -> bool {
//!     true
//! }
//!
//! fn deliver(cx: &mut Ctx<'_, MayRefresh>) -> bool {
//!     try_deliver(&mut cx.may_deliver())
//! }
//!
//! fn hypercall(cx: &mut Ctx<'_, InKvmRun>) -> bool {
//!     deliver(&mut cx.may_refresh())
//! }
//! ```

use super::{
    context::Nothing,
    order::{GpcRefreshLock, KvmSrcu, Spinlock, XenLock},
    Ctx, InKvmSrcu, InVmMm, MayEnter, MaySleep, MayTryLock, MayWake, VmIoctl, Within,
};

/// Where an event can be delivered, and nothing else known: a lock may be tried and a task woken,
/// in a read-side critical section of `kvm->srcu`. It may not sleep.
pub(crate) type MayDeliver = Within<KvmSrcu, Within<Spinlock, Nothing>>;

/// In a read-side critical section of `kvm->srcu` where a lock may be tried, and nothing else
/// known: it may neither sleep nor wake.
#[cfg(not(CONFIG_PREEMPT_RT))]
pub(crate) type InSection = super::SchedOut;

/// In a read-side critical section of `kvm->srcu` where a lock may be tried, and nothing else
/// known: it may not sleep. Where a lock may be tried a task may be woken: its release may do so.
#[cfg(CONFIG_PREEMPT_RT)]
pub(crate) type InSection = MayDeliver;

/// Where a pfn cache can be refreshed, and nothing else known: no other lock may be taken.
pub(crate) type MayRefresh = Within<XenLock, Within<KvmSrcu, VmIoctl>>;

impl<H: InKvmSrcu + MayTryLock> Ctx<'_, H> {
    /// This context, as one of which no more is known than the read-side critical section, and that
    /// locks can be tried.
    #[inline(always)]
    pub(crate) fn in_section(&mut self) -> Ctx<'_, InSection> {
        // SAFETY: The task is in a read-side critical section, and may try locks; under
        // `PREEMPT_RT` every level that allows this allows to wake, too. All else that follows from
        // the lock of the run queue, or from `Spinlock`, only forbids.
        unsafe { Ctx::assert() }
    }
}

impl<H: InKvmSrcu + MayTryLock + MayWake> Ctx<'_, H> {
    /// This context, as one of which no more is known than that events can be delivered.
    #[inline(always)]
    pub(crate) fn may_deliver(&mut self) -> Ctx<'_, MayDeliver> {
        // SAFETY: The task is in a read-side critical section, may try locks, and may wake others.
        // All else that follows from `Spinlock` only forbids.
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
        // SAFETY: The task is in a read-side critical section, in the VM's address space, and may
        // sleep. All that follows from `xen_lock` only forbids.
        unsafe { Ctx::assert() }
    }
}
