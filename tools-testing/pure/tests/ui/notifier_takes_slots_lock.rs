// SPDX-License-Identifier: GPL-2.0

//! A memslot update waits, with `slots_lock` held, until no invalidation is under way.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<Notifier>();
    enter::<SlotsLock, _>(&mut cx);
}
