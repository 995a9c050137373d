// SPDX-License-Identifier: GPL-2.0

//! While a level is held, the context outside of it says what is not so.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<VmIoctl>();
    let mut section = enter::<KvmSrcu, _>(&mut cx);
    synchronize(&mut cx);
    try_read(section.cx());
}
