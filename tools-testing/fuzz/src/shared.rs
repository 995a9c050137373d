// SPDX-License-Identifier: GPL-2.0
//! A value that a process shares with those that it forks.

use std::num::NonZeroUsize;
use std::ops::Deref;
use std::ptr::NonNull;

use anyhow::{Context, Result};
use nix::sys::mman::{mmap_anonymous, MapFlags, ProtFlags};

/// A value in memory of its own. It can be changed by other processes, and so has to be
/// of a type that can be changed through a shared reference.
pub struct Shared<T: Sync>(NonNull<T>);

impl<T: Sync> Shared<T> {
    /// Puts it there.
    pub fn new(value: T) -> Result<Self> {
        let size = NonZeroUsize::new(size_of::<T>()).context("nothing to share")?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping, wherever there is room.
        let at = unsafe { mmap_anonymous(None, size, protection, MapFlags::MAP_SHARED) };
        let at = at.context("mapping shared memory")?.cast::<T>();
        // SAFETY: it is as large as a T, and aligned to a page.
        unsafe { at.write(value) };
        Ok(Self(at))
    }
}

impl<T: Sync> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: a T was written there, and the mapping stays as long as the process.
        unsafe { self.0.as_ref() }
    }
}
