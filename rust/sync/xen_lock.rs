// SPDX-License-Identifier: GPL-2.0

//! The leaf mutex that protects Xen's state of a VM: `kvm->arch.xen.xen_lock`.
//!
//! It is C's own mutex, as C and Rust may serve one VM at once. Its lock class is that of C's
//! `mutex_init()`, or, in a VM that Rust has created, one of `helpers/lock_class.c`, which outlives
//! this module as the VM may.

use super::{order::XenLock, Ctx, Held, MayEnter, Within};
use crate::{bindings, object::Object};
use kernel::types::NotThreadSafe;

/// The initialized `xen_lock` of a VM that outlives `'a`.
///
/// # Examples
///
/// ```
/// use crate::{abi::shared_info::SharedInfo, sync::{gpc::Gpc, xen_lock::Mutex, Ctx, VmIoctl}};
///
/// /// Takes a cache away, with the mutex held.
/// fn remove(cx: &mut Ctx<'_, VmIoctl>, mutex: Mutex<'_>, cache: Gpc<'_, SharedInfo>) {
///     let mut guard = mutex.lock(cx);
///     cache.deactivate(&mut guard.cx());
/// }
/// ```
#[derive(Clone, Copy)]
pub(crate) struct Mutex<'a> {
    raw: Object<'a, bindings::mutex>,
}

/// The mutex held, the context inside it, and the right to change what it protects.
///
/// # Invariants
///
/// The task holds the mutex `raw`.
pub(crate) struct Guard<'g, H> {
    outside: Ctx<'g, H>,
    raw: Object<'g, bindings::mutex>,
    _task: NotThreadSafe,
}

impl<'a> Mutex<'a> {
    /// Wraps the `xen_lock` of a VM.
    ///
    /// # Safety
    ///
    /// `raw` is the initialized `xen_lock` of a VM that stays until `'a` ends.
    #[inline(always)]
    pub(crate) const unsafe fn from_raw(raw: Object<'a, bindings::mutex>) -> Self {
        Self { raw }
    }

    /// Takes the mutex. May sleep.
    #[inline(always)]
    pub(crate) fn lock<'g, H>(self, cx: &'g mut Ctx<'_, H>) -> Guard<'g, H>
    where
        'a: 'g,
        H: MayEnter<XenLock>,
    {
        // SAFETY: `raw` is initialized by the contract of `from_raw`. The context may sleep, and
        // by the lock order is not inside of this mutex already.
        unsafe { bindings::mutex_lock(self.raw.as_ptr()) };
        // INVARIANT: Locked just above.
        Guard {
            outside: cx.reborrow(),
            raw: self.raw,
            _task: NotThreadSafe,
        }
    }
}

impl<H: Held> Guard<'_, H> {
    /// The context inside the mutex.
    #[inline(always)]
    pub(crate) fn cx(&mut self) -> Ctx<'_, Within<XenLock, H>> {
        // SAFETY: The mutex is held as long as the guard, which is borrowed.
        unsafe { self.outside.enter() }
    }
}

impl<H> Drop for Guard<'_, H> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: By the invariant, this task holds the mutex.
        unsafe { bindings::mutex_unlock(self.raw.as_ptr()) }
    }
}
