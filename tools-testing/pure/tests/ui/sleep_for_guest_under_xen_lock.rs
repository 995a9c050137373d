// SPDX-License-Identifier: GPL-2.0

//! All of the VM would wait for one vCPU.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<VcpuIoctl>();
    let mut xen = enter::<XenLock, _>(&mut cx);
    halt(xen.cx());
}
