// SPDX-License-Identifier: GPL-2.0

//! With `gpc->lock` held, or interrupts off, a guest page can not be faulted in.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<InKvmRun>();
    let mut irqs_off = enter::<IrqsOff, _>(&mut cx);
    refresh(irqs_off.cx());
}
