// SPDX-License-Identifier: GPL-2.0

//! The release of a lock that is only tried switches interrupts on: not in a hard one.

#[path = "../support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<TimerHardIrq>();
    let mut section = enter::<KvmSrcu, _>(&mut cx);
    try_read(section.cx());
}
