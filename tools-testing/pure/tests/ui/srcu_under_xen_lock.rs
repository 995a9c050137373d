// SPDX-License-Identifier: GPL-2.0

//! Readers take `xen_lock`, so the section is entered first, in Rust everywhere.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<VmIoctl>();
    let mut xen = enter::<XenLock, _>(&mut cx);
    enter::<KvmSrcu, _>(xen.cx());
}
