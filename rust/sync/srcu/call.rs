// SPDX-License-Identifier: GPL-2.0

//! `call_srcu()` with an owned payload.
//!
//! A callback that is outstanding when its module goes would run code that is there no more. Here
//! each one holds its module until it has run: `rmmod` says that the module is in use, for the
//! moment that takes. The last instructions of a callback come after it has let go, but with
//! bottom halves off, which the module's memory outlasts: `free_module()` waits for a grace period
//! of RCU.

// Where the kernel crate has a call_srcu(), that is used (Documentation/proposals.rst).
#[cfg(kernel_call_srcu)]
#[path = "call/of_crate.rs"]
mod deferred;
#[cfg(not(kernel_call_srcu))]
#[path = "call/own.rs"]
mod deferred;

use super::Srcu;
use crate::{
    bindings,
    kernels::this_module,
    sync::{Ctx, MaySleep},
};
use deferred::Deferred;
use kernel::{
    prelude::*,
    sync::atomic::{Atomic, Relaxed},
};

/// How many objects may wait in callbacks, some hundred bytes each. They wait for the slowest reader,
/// who may be as slow as a user likes, and another user may hand over one after the other meanwhile.
/// A table that is full is fewer.
const MOST_PENDING: u32 = 8192;

/// How many objects wait, or may come to.
static PENDING: Atomic<i32> = Atomic::new(0);

/// What may be dropped in a callback.
///
/// # Safety
///
/// Its drop takes no context: it neither sleeps nor takes a lock of KVM's.
pub(crate) unsafe trait DropAnywhere: Send + 'static {}

/// Room for objects that wait, and a reference to this module.
struct Slot {
    objects: u16,
}

impl Slot {
    /// Room for so many, if there is some.
    fn take(objects: u16) -> Option<Self> {
        let before = PENDING.fetch_add(objects.into(), Relaxed);
        // Others who find no room may be about to take theirs back: never below 0.
        if (before as u32).saturating_add(objects.into()) <= MOST_PENDING {
            // SAFETY: It is this module.
            if unsafe { bindings::try_module_get(this_module().as_ptr()) } {
                return Some(Self { objects });
            }
        }
        PENDING.fetch_sub(objects.into(), Relaxed);
        None
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        PENDING.fetch_sub(self.objects.into(), Relaxed);
        // SAFETY: `take` has got the reference.
        unsafe { bindings::module_put(this_module().as_ptr()) }
    }
}

/// A callback that drops a payload, allocated ahead: to hand the payload over by [`Srcu::call`] then
/// can't fail.
pub(crate) struct Callback<T> {
    deferred: Deferred<T>,
    slot: Slot,
}

impl<T: Send + 'static> Callback<T> {
    /// Allocates one for a payload of so many objects. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EBUSY` when too much is waiting already. The caller can wait for the grace
    /// period instead.
    pub(crate) fn new<H: MaySleep>(_cx: &mut Ctx<'_, H>, objects: u16) -> Result<Self> {
        // The callback is one, too.
        let slot = Slot::take(objects.saturating_add(1)).ok_or(EBUSY)?;
        let deferred = Deferred::new()?;
        Ok(Self { deferred, slot })
    }
}

impl Srcu<'_> {
    /// Has `payload` dropped when all read-side critical sections that are there now have ended.
    /// Any context.
    ///
    /// It is dropped with bottom halves off.
    pub(in crate::sync) fn call<T: DropAnywhere>(self, callback: Callback<T>, payload: T) {
        let Callback { deferred, slot } = callback;
        // SAFETY: By the contract of `from_raw` the SRCU is initialized, and not cleaned up before the
        // callback has run.
        unsafe { deferred.call(self.raw.as_ptr(), payload, slot) }
    }
}
