// SPDX-License-Identifier: GPL-2.0

//! `xen_lock` is a leaf: no mutex inside it but that of a pfn cache.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<VmIoctl>();
    let mut xen = enter::<XenLock, _>(&mut cx);
    enter::<SlotsArchLock, _>(xen.cx());
}
