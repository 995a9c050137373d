// SPDX-License-Identifier: GPL-2.0
//! A value that a process shares with those that it forks.

use std::ops::Deref;
use std::ptr::NonNull;

use anyhow::{Context, Result};
use nix::errno::Errno;

/// A value in memory of its own. It can be changed by other processes, and so has to be
/// of a type that can be changed through a shared reference.
pub struct Shared<T: Sync>(NonNull<T>);

impl<T: Sync> Shared<T> {
    /// Puts it there.
    pub fn new(value: T) -> Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping, wherever there is room.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size_of::<T>(),
                protection,
                flags,
                -1,
                0,
            )
        };
        if at == libc::MAP_FAILED {
            return Err(Errno::last()).context("mapping shared memory");
        }
        let at = NonNull::new(at.cast::<T>()).context("mapping shared memory")?;
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
