// SPDX-License-Identifier: GPL-2.0

//! A vCPU in `KVM_RUN` holds its mutex while it waits for a grace period, or for the guest.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<VmIoctl>();
    let mut section = enter::<KvmSrcu, _>(&mut cx);
    enter::<VcpuMutex, _>(section.cx());
}
