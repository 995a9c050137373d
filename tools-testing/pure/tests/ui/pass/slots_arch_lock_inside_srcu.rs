// SPDX-License-Identifier: GPL-2.0

//! `slots_arch_lock` is released before the grace period, so it may be taken in a read section, as
//! on the first use of the shadow MMU.

#[path = "../support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<InKvmRun>();
    gfp_kernel(enter::<SlotsArchLock, _>(&mut cx).cx());
}
