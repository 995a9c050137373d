// SPDX-License-Identifier: GPL-2.0

//! As the module's prelude, and boxes.

use std::{ops::Deref, sync::Arc};

/// An error number, below 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error(i32);

impl Error {
    /// From what C returns.
    pub fn from_errno(errno: i32) -> Self {
        Self(errno)
    }

    /// As C returns it.
    pub fn to_errno(self) -> i32 {
        self.0
    }
}

/// The kernel's result.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// No such thing.
pub const ENOENT: Error = Error(-2);
/// It is there already.
pub const EEXIST: Error = Error(-17);
/// An argument makes no sense.
pub const EINVAL: Error = Error(-22);

/// No memory.
pub const ENOMEM: Error = Error(-12);

/// What notices its use after it was freed.
pub trait Freed {
    /// It is freed now.
    fn freed(&self);
}

/// A box whose memory stays when it is dropped, so that those who still use it are caught.
pub struct KBox<T: Freed>(Option<Arc<T>>);

impl<T: Freed> KBox<T> {
    /// Never fails here.
    pub fn new(value: T) -> Result<Self> {
        Ok(Self::from_raw(Arc::new(value)))
    }

    /// Takes the box back from [`KBox::into_raw`].
    pub(crate) fn from_raw(raw: Arc<T>) -> Self {
        Self(Some(raw))
    }

    /// Gives the box away.
    pub(crate) fn into_raw(mut self) -> Arc<T> {
        self.0.take().expect("given away once")
    }
}

impl<T: Freed> Deref for KBox<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("not given away")
    }
}

impl<T: Freed> Drop for KBox<T> {
    fn drop(&mut self) {
        if let Some(value) = &self.0 {
            value.freed();
        }
    }
}
