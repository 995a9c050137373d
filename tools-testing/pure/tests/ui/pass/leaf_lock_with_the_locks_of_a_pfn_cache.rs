// SPDX-License-Identifier: GPL-2.0

//! Inside `xen_lock`, and that inside `kvm->srcu`, a page is mapped.

#[path = "../support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<VmIoctl>();
    let mut section = enter::<KvmSrcu, _>(&mut cx);
    let mut xen = enter::<XenLock, _>(section.cx());
    refresh(xen.cx());
    let mut refreshing = enter::<GpcRefreshLock, _>(xen.cx());
    enter::<GpcLock, _>(refreshing.cx());
}
