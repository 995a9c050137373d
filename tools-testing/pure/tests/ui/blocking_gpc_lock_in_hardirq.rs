// SPDX-License-Identifier: GPL-2.0

//! `gpc->lock` is a sleeping lock under PREEMPT_RT: the timer may only try it.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<TimerHardIrq>();
    let mut section = enter::<KvmSrcu, _>(&mut cx);
    enter::<GpcLock, _>(section.cx());
}
