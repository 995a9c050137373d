// SPDX-License-Identifier: GPL-2.0

//! A page is not mapped any more while the cache is refreshed.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<InKvmRun>();
    let mapping = try_read(&mut cx);
    refresh(&mut cx);
    drop(mapping);
}
