// SPDX-License-Identifier: GPL-2.0

//! `call_srcu()` of the kernel crate, where it has one: samples/proposals/srcu.patch.

use super::{DropAnywhere, Slot};
use crate::{bindings, kernels::this_module};
use kernel::{
    alloc::flags::GFP_KERNEL,
    prelude::*,
    sync::srcu::{Callback, DropInCallback, SrcuRef},
};

/// A payload that waits for a grace period.
struct Waiting<T> {
    _payload: T,
    // Dropped last.
    _slot: Slot,
}

// SAFETY: What may be dropped anywhere does not sleep in that, nor does a slot.
unsafe impl<T: DropAnywhere> DropInCallback for Waiting<T> {}

/// Memory for a payload to wait in.
pub(super) struct Deferred<T>(Callback<Waiting<T>>);

impl<T: Send + 'static> Deferred<T> {
    /// Allocates it. May sleep.
    pub(super) fn new() -> Result<Self> {
        Ok(Self(Callback::new(this_module(), GFP_KERNEL)?))
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
        // SAFETY: By the safety requirement. Our bindings have a type of their own for the structure.
        let srcu = unsafe { SrcuRef::from_raw(srcu.cast()) };
        let waiting = Waiting {
            _payload: payload,
            _slot: slot,
        };
        srcu.call(self.0, waiting);
    }
}
