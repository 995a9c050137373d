// SPDX-License-Identifier: GPL-2.0

//! `xen_lock` is a leaf, and is taken inside `kvm->srcu`.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<VmIoctl>();
    let mut xen = enter::<XenLock, _>(&mut cx);
    enter::<SlotsLock, _>(xen.cx());
}
