// SPDX-License-Identifier: GPL-2.0

//! A vCPU that is preempted is in a read section already, and tries.

#[path = "../support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<SchedOut>();
    try_read(&mut cx);
}
