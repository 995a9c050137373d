// SPDX-License-Identifier: GPL-2.0

//! The flags of an allocation, by what the context allows.

use super::{Ctx, MaySleep};
use kernel::alloc::{flags::GFP_KERNEL, Flags};

impl<H: MaySleep> Ctx<'_, H> {
    /// For an allocation that may sleep, until memory is found: the only way to say so here.
    #[inline(always)]
    pub(crate) fn gfp_kernel(&self) -> Flags {
        GFP_KERNEL
    }
}
