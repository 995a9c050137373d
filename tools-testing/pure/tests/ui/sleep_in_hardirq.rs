// SPDX-License-Identifier: GPL-2.0

//! A hard interrupt sleeps for nothing, a mutex included.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<TimerHardIrq>();
    let mut section = enter::<KvmSrcu, _>(&mut cx);
    enter::<XenLock, _>(section.cx());
}
