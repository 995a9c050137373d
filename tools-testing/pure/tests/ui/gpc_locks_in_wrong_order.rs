// SPDX-License-Identifier: GPL-2.0

//! A runstate across two pages: the lock of the first page is taken first.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<InKvmRun>();
    let mut second = enter::<GpcLock2, _>(&mut cx);
    enter::<GpcLock, _>(second.cx());
}
