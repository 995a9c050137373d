// SPDX-License-Identifier: GPL-2.0

//! The scheduler has a vCPU preempted with the lock of a run queue held.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<SchedOut>();
    enter::<GpcLock, _>(&mut cx);
}
