// SPDX-License-Identifier: GPL-2.0

//! The one thing that an MMU notifier does to Xen's state.

#[path = "../support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<Notifier>();
    enter::<GpcLock, _>(&mut cx);
}
