// SPDX-License-Identifier: GPL-2.0

//! A reference to an eventfd.
//!
//! C header: `include/linux/eventfd.h`.

use crate::{
    bindings,
    sync::{Ctx, MaySleep},
};
use core::ptr::NonNull;
use kernel::{error::from_err_ptr, ffi::c_int, prelude::*};

/// A counted reference to an eventfd.
///
/// # Invariants
///
/// The value owns one reference to the context.
pub(crate) struct EventFd(NonNull<bindings::eventfd_ctx>);

impl EventFd {
    /// The eventfd behind a file descriptor of the current process. May sleep.
    ///
    /// # Errors
    ///
    /// `EBADF` when the descriptor is not open, `EINVAL` when it is no eventfd.
    pub(crate) fn from_fd<H: MaySleep>(_cx: &mut Ctx<'_, H>, fd: c_int) -> Result<Self> {
        // SAFETY: Any number may be passed.
        let ctx = from_err_ptr(unsafe { bindings::eventfd_ctx_fdget(fd) })?;
        // INVARIANT: `eventfd_ctx_fdget()` gave us a reference.
        NonNull::new(ctx).map(Self).ok_or(EINVAL)
    }

    /// Gives the reference away.
    pub(crate) fn into_raw(self) -> *mut bindings::eventfd_ctx {
        core::mem::ManuallyDrop::new(self).0.as_ptr()
    }

    /// Takes a reference back from [`EventFd::into_raw`].
    ///
    /// # Safety
    ///
    /// `ctx` comes with one reference, which from now on is that of the value returned.
    pub(crate) unsafe fn from_raw(ctx: NonNull<bindings::eventfd_ctx>) -> Self {
        // INVARIANT: By the safety requirement.
        Self(ctx)
    }
}

impl Drop for EventFd {
    fn drop(&mut self) {
        // SAFETY: By the invariant the reference is ours to give back.
        unsafe { bindings::eventfd_ctx_put(self.0.as_ptr()) }
    }
}
