// SPDX-License-Identifier: GPL-2.0

//! An allocation with `GFP_KERNEL` sleeps.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<VmIoctl>();
    let mut preempt_off = enter::<PreemptOff, _>(&mut cx);
    gfp_kernel(preempt_off.cx());
}
