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

/// A payload that waits for a grace period.
#[repr(C)]
struct Deferred<T> {
    // The first field, as the callback gets its address for that of the whole.
    head: bindings::callback_head,
    objects: u16,
    payload: T,
}

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
    memory: KBox<MaybeUninit<Deferred<T>>>,
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
        let memory = KBox::new_uninit(GFP_KERNEL)?;
        Ok(Self { memory, slot })
    }
}

impl Srcu<'_> {
    /// Has `payload` dropped when all read-side critical sections that are there now have ended.
    /// Any context.
    ///
    /// It is dropped with bottom halves off.
    pub(in crate::sync) fn call<T: DropAnywhere>(self, callback: Callback<T>, payload: T) {
        let Callback { memory, slot } = callback;
        let objects = slot.objects;
        // It goes with the callback, which drops it.
        core::mem::forget(slot);
        let deferred = KBox::into_raw(KBox::write(
            memory,
            Deferred {
                head: bindings::callback_head::default(),
                objects,
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
    // SAFETY: By the safety requirement the head is that of a box that is nobody else's any more.
    let deferred = unsafe { KBox::from_raw(head.cast::<Deferred<T>>()) };
    // Dropped last.
    let _slot = Slot {
        objects: deferred.objects,
    };
    drop(deferred);
}
