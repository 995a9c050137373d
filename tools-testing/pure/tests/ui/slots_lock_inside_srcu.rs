// SPDX-License-Identifier: GPL-2.0

//! A memslot update waits for a grace period with `slots_lock` held.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<InKvmRun>();
    enter::<SlotsLock, _>(&mut cx);
}
