// SPDX-License-Identifier: GPL-2.0

//! A timer in hard interrupt context enters a read section and tries `gpc->lock`.

#[path = "../support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<TimerHardIrq>();
    let mut section = enter::<KvmSrcu, _>(&mut cx);
    try_read(section.cx());
    kick(section.cx());
}
