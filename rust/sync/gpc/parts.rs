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

/// The mappings of the two parts of a structure.
///
/// # Examples
///
/// ```
/// use crate::{kvm::OwnVcpu, sync::{gpc::{Gpc, Unmapped}, Ctx, InSection}};
///
/// /// Notes that both pages of a runstate were written to.
/// fn mark(cx: &mut Ctx<'_, InSection>, vcpu: OwnVcpu<'_>, len: usize) -> Result<(), Unmapped> {
///     let (first, second) = (vcpu.runstate_info(), vcpu.runstate_info_rest());
///     let parts = Gpc::try_read_both(cx, (first, len), (second, 48 - len))?;
///     parts.first().mark_dirty();
///     parts.second().mark_dirty();
///     Ok(())
/// }
/// ```
pub(crate) struct Parts<'g> {
    // Dropped before `first`, which is locked first, and whose release has interrupts on again.
    second: Mapping<'g, Bytes>,
    first: Mapping<'g, Bytes>,
}

impl<'g> Parts<'g> {
    /// That of the part in the first page.
    pub(crate) fn first(&self) -> &Mapping<'g, Bytes> {
        &self.first
    }

    /// That of the part in the second page.
    pub(crate) fn second(&self) -> &Mapping<'g, Bytes> {
        &self.second
    }
}

impl<'a> Gpc<'a, Bytes> {
    /// The mapping of `len` bytes, as [`Gpc::try_read`] has it.
    pub(crate) fn try_read_bytes<'g, H: InKvmSrcu + MayTryLock>(
        self,
        _cx: &'g mut Ctx<'_, H>,
        len: usize,
    ) -> Option<Mapping<'g, Bytes>>
    where
        'a: 'g,
    {
        // SAFETY: The context is inside a read-side critical section, may try locks, and is
        // borrowed as long as the mapping.
        unsafe { self.try_map::<H>(Some(len)) }
    }

    /// The mappings of the two parts of a structure; the one of the first page is locked first, and
    /// released last. Never waits; any context where a lock may be tried.
    ///
    /// # Errors
    ///
    /// The part that is not valid, or being changed just now.
    pub(crate) fn try_read_both<'g>(
        _cx: &'g mut Ctx<'_, InSection>,
        first: Part<'a>,
        second: Part<'a>,
    ) -> Result<Parts<'g>, Unmapped>
    where
        'a: 'g,
    {
        // SAFETY: The context is inside a read-side critical section, may try locks, and is
        // borrowed as long as both mappings. A lock that is tried inside of another one waits for
        // nobody.
        let map = |(gpc, len): Part<'a>| unsafe { gpc.try_map_seldom(len) };
        let first = map(first).ok_or(Unmapped::First)?;
        let second = map(second).ok_or(Unmapped::Second)?;
        Ok(Parts { second, first })
    }

    /// As [`Gpc::try_map`], for what is done once in a while.
    ///
    /// # Safety
    ///
    /// As there.
    #[inline(never)]
    unsafe fn try_map_seldom<'g>(self, len: usize) -> Option<Mapping<'g, Bytes>>
    where
        'a: 'g,
    {
        // SAFETY: By the safety requirement.
        unsafe { self.try_map::<InSection>(Some(len)) }
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
