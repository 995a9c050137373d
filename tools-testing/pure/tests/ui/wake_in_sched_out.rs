// SPDX-License-Identifier: GPL-2.0

//! To wake a task takes the lock of a run queue, which the scheduler holds.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<SchedOut>();
    kick(&mut cx);
}
