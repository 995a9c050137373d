// SPDX-License-Identifier: GPL-2.0

//! A read section that was left for a while is not used meanwhile.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<InKvmRun>();
    // SAFETY: This is never run.
    let mut outside = unsafe { cx.leave() };
    try_read(&mut cx);
    halt(&mut outside);
}
