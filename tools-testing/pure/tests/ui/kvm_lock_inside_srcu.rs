// SPDX-License-Identifier: GPL-2.0

//! The hypercall path of v5.19: `kvm->lock` is taken outside of `vcpu->mutex`, and that outside of
//! `kvm->srcu`.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<VmIoctl>();
    let mut section = enter::<KvmSrcu, _>(&mut cx);
    enter::<KvmLock, _>(section.cx());
}
