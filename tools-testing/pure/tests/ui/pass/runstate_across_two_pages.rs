// SPDX-License-Identifier: GPL-2.0

//! The lock of the first page, then that of the second.

#[path = "../support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<InKvmRun>();
    let mut first = enter::<GpcLock, _>(&mut cx);
    enter::<GpcLock2, _>(first.cx());
}
