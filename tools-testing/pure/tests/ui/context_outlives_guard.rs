// SPDX-License-Identifier: GPL-2.0

//! The context inside a lock ends with its guard.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<VmIoctl>();
    let mut section = enter::<KvmSrcu, _>(&mut cx);
    let inside = section.cx();
    drop(section);
    try_read(inside);
}
