// SPDX-License-Identifier: GPL-2.0

//! Sleepable RCU.
//!
//! C header: `include/linux/srcu.h`; Documentation/RCU/checklist.rst.

use super::{order::KvmSrcu, Ctx, Held, MayEnter, MayWaitForSrcu, Within};
use crate::bindings;
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{ffi::c_int, types::NotThreadSafe};

/// An initialized `struct srcu_struct` that outlives `'a`.
#[derive(Clone, Copy)]
pub(crate) struct Srcu<'a> {
    raw: NonNull<bindings::srcu_struct>,
    _lifetime: PhantomData<&'a ()>,
}

impl<'a> Srcu<'a> {
    /// Wraps a `struct srcu_struct` of C's.
    ///
    /// # Safety
    ///
    /// `raw` is initialized, and is not cleaned up before `'a` ends.
    #[inline(always)]
    pub(crate) const unsafe fn from_raw(raw: NonNull<bindings::srcu_struct>) -> Self {
        Self {
            raw,
            _lifetime: PhantomData,
        }
    }

    /// Enters a read-side critical section. Any context; what is inside may sleep.
    #[inline(always)]
    pub(crate) fn read_lock(self) -> Guard<'a> {
        // SAFETY: `raw` is initialized by the contract of `from_raw`.
        let idx = unsafe { bindings::kvm_xen_rs_srcu_read_lock(self.raw.as_ptr()) };
        // INVARIANT: The read section was entered just above.
        Guard {
            srcu: self,
            idx,
            _task: NotThreadSafe,
        }
    }

    /// Waits, without sparing the CPUs, until all read sections that are there now have ended.
    ///
    /// # Safety
    ///
    /// The task may sleep, is in no read section of this SRCU, and holds no lock that is taken in
    /// one.
    #[inline]
    unsafe fn synchronize_expedited(self) {
        // SAFETY: `raw` is initialized by the contract of `from_raw`; the rest is the caller's.
        unsafe { bindings::synchronize_srcu_expedited(self.raw.as_ptr()) }
    }
}

/// A read-side critical section, which ends when this is dropped.
///
/// # Invariants
///
/// The task is in a read section of `srcu` that it entered with the index `idx`.
pub(crate) struct Guard<'a> {
    srcu: Srcu<'a>,
    idx: c_int,
    _task: NotThreadSafe,
}

impl Drop for Guard<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: By the invariant, `idx` is that of a read section that this task is in.
        unsafe { bindings::kvm_xen_rs_srcu_read_unlock(self.srcu.raw.as_ptr(), self.idx) }
    }
}

/// The `kvm->srcu` of a VM, which has a place in the lock order.
#[derive(Clone, Copy)]
pub(crate) struct OfVm<'a>(Srcu<'a>);

/// A read section of `kvm->srcu`, and the context inside it.
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
    #[inline(always)]
    pub(crate) const unsafe fn new(srcu: Srcu<'a>) -> Self {
        Self(srcu)
    }

    /// Enters a read section. Any context that is not in one.
    #[inline(always)]
    pub(crate) fn read<'g, H: MayEnter<KvmSrcu>>(self, cx: &'g mut Ctx<'_, H>) -> VmGuard<'g, H>
    where
        'a: 'g,
    {
        VmGuard {
            outside: cx.reborrow(),
            _guard: self.0.read_lock(),
        }
    }

    /// Waits until no read section is left that could have seen what was unpublished before.
    ///
    /// Expedited, as KVM waits for memslots: readers are short, or sleep as the guest likes, and
    /// then waiting in the ordinary way is no cheaper for anybody. May sleep.
    #[inline]
    pub(crate) fn wait_for_readers<H: MayWaitForSrcu>(self, _cx: &mut Ctx<'_, H>) {
        // SAFETY: `MayWaitForSrcu` is implemented for contexts that may sleep and are inside of no
        // level that is, or is taken in, a read section of `kvm->srcu`.
        unsafe { self.0.synchronize_expedited() }
    }
}

impl<H: Held> VmGuard<'_, H> {
    /// The context inside the read section.
    #[inline(always)]
    pub(crate) fn cx(&mut self) -> Ctx<'_, Within<KvmSrcu, H>> {
        // By value, for as long as the guard is borrowed: a reference could be swapped for that of
        // another guard, and outlive this one.
        // SAFETY: The read section lasts as long as the guard, which is borrowed.
        unsafe { self.outside.enter() }
    }
}
