// SPDX-License-Identifier: GPL-2.0

//! The release of a lock that is only tried wakes a task: not with a run queue locked.

#[path = "../support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<SchedOut>();
    try_read(&mut cx);
}
