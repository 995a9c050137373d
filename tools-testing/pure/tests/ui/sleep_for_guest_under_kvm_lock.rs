// SPDX-License-Identifier: GPL-2.0

//! Nobody could create a vCPU until the guest pleases.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<VmIoctl>();
    let mut kvm = enter::<KvmLock, _>(&mut cx);
    let mut vcpu = enter::<VcpuMutex, _>(kvm.cx());
    halt(vcpu.cx());
}
