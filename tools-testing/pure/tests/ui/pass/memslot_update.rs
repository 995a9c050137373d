// SPDX-License-Identifier: GPL-2.0

//! A grace period may be awaited under `kvm->lock`, `vcpu->mutex` and `slots_lock`, and after
//! `slots_arch_lock` is released.

#[path = "../support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<VmIoctl>();
    synchronize(&mut cx);
    let mut kvm = enter::<KvmLock, _>(&mut cx);
    synchronize(kvm.cx());
    let mut vcpu = enter::<VcpuMutex, _>(kvm.cx());
    synchronize(vcpu.cx());
    let mut slots = enter::<SlotsLock, _>(vcpu.cx());
    gfp_kernel(enter::<SlotsArchLock, _>(slots.cx()).cx());
    synchronize(slots.cx());
}
