// SPDX-License-Identifier: GPL-2.0

//! `slots_arch_lock` is taken in read sections, and so released before the grace period.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<VmIoctl>();
    let mut slots = enter::<SlotsLock, _>(&mut cx);
    let mut arch = enter::<SlotsArchLock, _>(slots.cx());
    synchronize(arch.cx());
}
