// SPDX-License-Identifier: GPL-2.0

//! The reset of ports before it was fixed: hypercalls take the lock inside the section that is
//! waited for.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<VmIoctl>();
    let mut xen = enter::<XenLock, _>(&mut cx);
    synchronize(xen.cx());
}
