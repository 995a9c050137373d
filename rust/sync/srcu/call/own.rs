// SPDX-License-Identifier: GPL-2.0

//! `call_srcu()` of C's.

use super::{DropAnywhere, Slot};
use crate::bindings;
use core::mem::{offset_of, MaybeUninit};
use kernel::{alloc::flags::GFP_KERNEL, prelude::*};

/// A payload that waits for a grace period.
#[repr(C)]
struct Waiting<T> {
    // The first field, as the callback gets its address for that of the whole.
    head: bindings::callback_head,
    slot: Option<Slot>,
    payload: T,
}

/// Memory for a payload to wait in.
pub(super) struct Deferred<T>(KBox<MaybeUninit<Waiting<T>>>);

impl<T: Send + 'static> Deferred<T> {
    /// Allocates it. May sleep.
    pub(super) fn new() -> Result<Self> {
        Ok(Self(KBox::new_uninit(GFP_KERNEL)?))
    }

    /// Has the payload dropped after a grace period, and then the slot.
    ///
    /// # Safety
    ///
    /// The SRCU is initialized, and not cleaned up before the callback has run.
    pub(super) unsafe fn call(self, srcu: *mut bindings::srcu_struct, payload: T, slot: Slot)
    where
        T: DropAnywhere,
    {
        let waiting = KBox::into_raw(KBox::write(
            self.0,
            Waiting {
                head: bindings::callback_head::default(),
                slot: Some(slot),
                payload,
            },
        ));
        // It is the first field.
        let head = waiting.cast::<bindings::callback_head>();
        // SAFETY: By the safety requirement. The head is the callback's from here on, and this module
        // stays as long, by the slot.
        unsafe { bindings::call_srcu(srcu, head, Some(finish::<T>)) }
    }
}

/// The grace period is over.
///
/// # Safety
///
/// As SRCU calls it, once for each head that [`Deferred::call`] has handed over.
unsafe extern "C" fn finish<T>(head: *mut bindings::callback_head) {
    const { assert!(offset_of!(Waiting<()>, head) == 0) };
    // SAFETY: By the safety requirement the head is that of a box that is nobody else's any more.
    let mut waiting = unsafe { KBox::from_raw(head.cast::<Waiting<T>>()) };
    // Dropped last.
    let _slot = waiting.slot.take();
    drop(waiting);
}
