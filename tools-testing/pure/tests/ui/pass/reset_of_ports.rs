// SPDX-License-Identifier: GPL-2.0

//! What is taken out of the table under `xen_lock` is freed after it, and after the readers.

#[path = "../support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<VmIoctl>();
    {
        let mut xen = enter::<XenLock, _>(&mut cx);
        gfp_kernel(xen.cx());
    }
    synchronize(&mut cx);
}
