// SPDX-License-Identifier: GPL-2.0

//! What was looked up in a read section is gone when the section was left for a while.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<InKvmRun>();
    let sender = find(&cx);
    // SAFETY: This is never run.
    halt(&mut unsafe { cx.leave() });
    let _ = *sender;
}
