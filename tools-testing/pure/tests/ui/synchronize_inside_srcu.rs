// SPDX-License-Identifier: GPL-2.0

//! A reader that waits for all readers waits for itself.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<VmIoctl>();
    let mut section = enter::<KvmSrcu, _>(&mut cx);
    synchronize(section.cx());
}
