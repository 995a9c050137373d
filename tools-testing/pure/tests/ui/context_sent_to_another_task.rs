// SPDX-License-Identifier: GPL-2.0

//! A context is that of one task.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<InKvmRun>();
    std::thread::scope(|threads| {
        threads.spawn(|| try_read(&mut cx).is_some());
    });
}
