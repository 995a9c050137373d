// SPDX-License-Identifier: GPL-2.0

//! `call_srcu()` with an owned payload.
//!
//! A callback that is outstanding when its module goes would run code that is there no more. Here
//! each one holds its module until it has run: `rmmod` says that the module is in use, for the
//! moment that takes. The last instructions of a callback come after it has let go, but with
//! bottom halves off, which the module's memory outlasts: `free_module()` waits for a grace period
//! of RCU.

use super::Srcu;
use crate::{
    bindings,
    kernels::this_module,
    sync::{Ctx, MaySleep},
};
use core::mem::{offset_of, MaybeUninit};
use kernel::{
    alloc::flags::GFP_KERNEL,
    prelude::*,
    sync::atomic::{Atomic, Relaxed},
};

/// How many callbacks may be outstanding. They wait for the slowest reader, who may be as slow as
/// a user likes, and another user may hand over one after the other meanwhile.
const MOST_PENDING: i32 = 1024;

/// How many callbacks are outstanding, or are allocated.
static PENDING: Atomic<i32> = Atomic::new(0);

/// A payload that waits for a grace period.
#[repr(C)]
struct Deferred<T> {
    // The first field, as the callback gets its address for that of the whole.
    head: bindings::callback_head,
    payload: T,
}

/// One of the callbacks that may be outstanding, and a reference to this module.
struct Slot(());

impl Slot {
    /// A slot, if there is one.
    fn take() -> Option<Self> {
        if PENDING.fetch_add(1, Relaxed) < MOST_PENDING {
            // SAFETY: It is this module.
            if unsafe { bindings::try_module_get(this_module().as_ptr()) } {
                return Some(Self(()));
            }
        }
        PENDING.fetch_sub(1, Relaxed);
        None
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        PENDING.fetch_sub(1, Relaxed);
        // SAFETY: `take` has got the reference.
        unsafe { bindings::module_put(this_module().as_ptr()) }
    }
}

/// A callback that drops a payload, allocated ahead: to hand the payload over by [`Srcu::call`] then
/// can't fail.
pub(crate) struct Callback<T> {
    memory: KBox<MaybeUninit<Deferred<T>>>,
    slot: Slot,
}

impl<T: Send + 'static> Callback<T> {
    /// Allocates one. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EBUSY` when too much is waiting already. The caller can wait for the grace
    /// period instead.
    pub(crate) fn new<H: MaySleep>(_cx: &mut Ctx<'_, H>) -> Result<Self> {
        let slot = Slot::take().ok_or(EBUSY)?;
        let memory = KBox::new_uninit(GFP_KERNEL)?;
        Ok(Self { memory, slot })
    }
}

impl Srcu<'_> {
    /// Has `payload` dropped when all read-side critical sections that are there now have ended.
    /// Any context.
    ///
    /// It is dropped with bottom halves off, so where it must not sleep.
    pub(in crate::sync) fn call<T: Send + 'static>(self, callback: Callback<T>, payload: T) {
        let Callback { memory, slot } = callback;
        // It goes with the callback, which drops it.
        core::mem::forget(slot);
        let deferred = KBox::into_raw(KBox::write(
            memory,
            Deferred {
                head: bindings::callback_head::default(),
                payload,
            },
        ));
        // It is the first field.
        let head = deferred.cast::<bindings::callback_head>();
        // SAFETY: By the contract of `from_raw` the SRCU is initialized, and not cleaned up before the
        // callback has run. The head is the callback's from here on, and this module stays as long.
        unsafe { bindings::call_srcu(self.raw.as_ptr(), head, Some(finish::<T>)) }
    }
}

/// The grace period is over.
///
/// # Safety
///
/// As SRCU calls it, once for each head that [`Srcu::call`] has handed over.
unsafe extern "C" fn finish<T>(head: *mut bindings::callback_head) {
    const { assert!(offset_of!(Deferred<()>, head) == 0) };
    // Dropped last.
    let _slot = Slot(());
    // SAFETY: By the safety requirement the head is that of a box that is nobody else's any more.
    drop(unsafe { KBox::from_raw(head.cast::<Deferred<T>>()) });
}
