// SPDX-License-Identifier: GPL-2.0

//! Where nothing is known of the caller, interrupts may be off.

#[path = "../support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<Anywhere>();
    let mut section = enter::<KvmSrcu, _>(&mut cx);
    try_read(section.cx());
}
