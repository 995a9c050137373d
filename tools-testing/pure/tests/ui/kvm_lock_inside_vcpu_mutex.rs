// SPDX-License-Identifier: GPL-2.0

//! The same, seen from `vcpu->mutex`, which `KVM_RUN` holds.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<VcpuIoctl>();
    enter::<KvmLock, _>(&mut cx);
}
