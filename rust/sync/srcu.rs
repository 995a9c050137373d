// SPDX-License-Identifier: GPL-2.0

//! Sleepable RCU: readers may sleep, and whoever changes what they read waits for them, or has a
//! callback run when they are gone.
//!
//! Nothing in here is KVM's. Who waits for a grace period must not be inside a read-side critical
//! section, nor hold what is waited for in one; that depends on what the SRCU protects, which is
//! not known here, so [`Srcu::synchronize_expedited`] is unsafe and a user wraps it: see
//! `vm_srcu.rs`. Nobody has to wait for [`Srcu::call`].
//!
//! C header: `include/linux/srcu.h`; Documentation/RCU/checklist.rst.

mod call;

pub(crate) use call::{Callback, DropAnywhere};

use crate::{bindings, object::Object};
// What C's inline functions do beyond a call of these is for lockdep.
#[cfg(not(locks_by_c))]
use bindings::{__srcu_read_lock as read_lock, __srcu_read_unlock as read_unlock};
#[cfg(locks_by_c)]
use bindings::{
    kvm_xen_rs_srcu_read_lock as read_lock, kvm_xen_rs_srcu_read_unlock as read_unlock,
};
use kernel::{ffi::c_int, types::NotThreadSafe};

/// An initialized `struct srcu_struct` that outlives `'a`.
///
/// # Examples
///
/// ```
/// use crate::sync::srcu::Srcu;
///
/// fn read<R>(srcu: Srcu<'_>, f: impl FnOnce() -> R) -> R {
///     let _section = srcu.read_lock();
///     f()
/// }
/// ```
#[derive(Clone, Copy)]
pub(crate) struct Srcu<'a> {
    raw: Object<'a, bindings::srcu_struct>,
}

impl<'a> Srcu<'a> {
    /// Wraps a `struct srcu_struct` of C's.
    ///
    /// # Safety
    ///
    /// `raw` is initialized, and is not cleaned up before `'a` ends, nor before the callbacks that
    /// were handed over until then have run: `srcu_barrier()` comes first, as in
    /// `kvm_destroy_vm()`.
    pub(crate) const unsafe fn from_raw(raw: Object<'a, bindings::srcu_struct>) -> Self {
        Self { raw }
    }

    /// Enters a read-side critical section. Any context; what is inside may sleep.
    pub(crate) fn read_lock(self) -> Guard<'a> {
        // SAFETY: `raw` is initialized by the contract of `from_raw`.
        let idx = unsafe { read_lock(self.raw.as_ptr()) };
        // INVARIANT: The read-side critical section was entered just above.
        Guard {
            srcu: self,
            idx,
            _task: NotThreadSafe,
        }
    }

    /// Waits, expedited, until all read-side critical sections that are there now have ended.
    ///
    /// # Safety
    ///
    /// The task may sleep, is in no read-side critical section of this SRCU, and holds no lock that
    /// is taken in one.
    pub(crate) unsafe fn synchronize_expedited(self) {
        // SAFETY: `raw` is initialized by the contract of `from_raw`; the rest is the caller's.
        unsafe { bindings::synchronize_srcu_expedited(self.raw.as_ptr()) }
    }
}

/// A read-side critical section, which ends when this is dropped.
///
/// # Invariants
///
/// The task is in a read-side critical section of `srcu` that it entered with the index `idx`.
pub(crate) struct Guard<'a> {
    srcu: Srcu<'a>,
    idx: c_int,
    _task: NotThreadSafe,
}

impl Drop for Guard<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: By the invariant, `idx` is that of a read-side critical section that this task is
        // in.
        unsafe { read_unlock(self.srcu.raw.as_ptr(), self.idx) }
    }
}
