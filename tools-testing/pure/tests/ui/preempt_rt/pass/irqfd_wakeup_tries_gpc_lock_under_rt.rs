// SPDX-License-Identifier: GPL-2.0

//! The spinlock of a wait queue sleeps under PREEMPT_RT: what may be done there is more.

#[path = "../../support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<Within<Spinlock, Nothing>>();
    let mut section = enter::<KvmSrcu, _>(&mut cx);
    try_read(section.cx());
    kick(section.cx());
}
