// SPDX-License-Identifier: GPL-2.0

//! The timer of a poll is a soft interrupt.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<TimerSoftirq>();
    gfp_kernel(&mut cx);
}
