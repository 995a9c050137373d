// SPDX-License-Identifier: GPL-2.0

//! It holds `slots_arch_lock` too.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<Notifier>();
    enter::<SlotsArchLock, _>(&mut cx);
}
