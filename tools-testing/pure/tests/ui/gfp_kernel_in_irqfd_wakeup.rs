// SPDX-License-Identifier: GPL-2.0

//! An irqfd is woken with the spinlock of a wait queue held, and interrupts off.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<Anywhere>();
    gfp_kernel(&mut cx);
}
