// SPDX-License-Identifier: GPL-2.0

//! Structures that may lie across two pages, with a cache for each.

use super::{Bytes, Gpc, Mapping, Place};
use crate::sync::{
    order::GpcRefreshLock, Ctx, InKvmSrcu, InSection, InVmMm, MayEnter, MaySleep, MayTryLock,
};
use kernel::prelude::*;

/// A cache and how many bytes of it are wanted.
pub(crate) type Part<'a> = (Gpc<'a, Bytes>, usize);

/// Which of two parts could not be mapped.
// A word, so that it is not squeezed in among a mapping's own bytes.
#[repr(usize)]
pub(crate) enum Unmapped {
    /// The first.
    First,
    /// The second.
    Second,
}

impl<'a> Gpc<'a, Bytes> {
    /// As [`try_read_bytes`](Self::try_read_bytes), for those who do it once in a while.
    #[inline(never)]
    pub(crate) fn try_read_bytes_seldom<'g>(
        self,
        cx: &'g Ctx<'_, InSection>,
        len: usize,
    ) -> Option<Mapping<'g, Bytes>>
    where
        'a: 'g,
    {
        self.try_read_bytes(cx, len)
    }

    /// The mapping of `len` bytes, as [`Gpc::try_read`] has it.
    #[inline(always)]
    pub(crate) fn try_read_bytes<'g, H: InKvmSrcu + MayTryLock>(
        self,
        _cx: &'g Ctx<'_, H>,
        len: usize,
    ) -> Option<Mapping<'g, Bytes>>
    where
        'a: 'g,
    {
        // SAFETY: The context is inside a read section, may try locks, and is borrowed as long as the
        // mapping.
        unsafe { self.try_map::<H>(Some(len)) }
    }

    /// As [`Gpc::refresh`], for `len` bytes.
    ///
    /// # Errors
    ///
    /// Those of [`Gpc::refresh`].
    pub(crate) fn refresh_bytes<H>(self, cx: &mut Ctx<'_, H>, len: usize) -> Result
    where
        H: InKvmSrcu + InVmMm + MaySleep + MayEnter<GpcRefreshLock>,
    {
        self.refresh_len(cx, len)
    }

    /// As [`Gpc::activate`], for `len` bytes.
    ///
    /// # Errors
    ///
    /// Those of [`Gpc::activate`].
    pub(crate) fn activate_bytes<H>(self, cx: &mut Ctx<'_, H>, place: Place, len: usize) -> Result
    where
        H: InKvmSrcu + InVmMm + MaySleep + MayEnter<GpcRefreshLock>,
    {
        self.activate_len(cx, place, len)
    }
}
