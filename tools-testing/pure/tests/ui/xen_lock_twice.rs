// SPDX-License-Identifier: GPL-2.0

//! A mutex is not taken twice.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<VmIoctl>();
    let mut xen = enter::<XenLock, _>(&mut cx);
    enter::<XenLock, _>(xen.cx());
}
