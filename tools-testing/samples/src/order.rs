// SPDX-License-Identifier: GPL-2.0
//! The right order of locks, as KVM itself takes them.

use anyhow::Result;

use crate::guest::{Bare, Vm};
use crate::requests::Mistake;
use crate::xen;

/// Has KVM take the locks of a mistake in their right order, on a VM of its own that is gone
/// afterwards.
pub fn keep(mistake: Mistake) -> Result<()> {
    match mistake {
        // KVM takes `slots_lock` inside `kvm->lock` for the interrupt controller, and waits for a
        // grace period of `kvm->srcu` under `slots_lock` for the memory.
        Mistake::KvmLockInsideSrcu | Mistake::SlotsLockInsideSrcu => Vm::new()?.update_memslots(),
        // It takes `vcpu->mutex` inside `kvm->lock` for a new vCPU.
        Mistake::KvmLockInsideVcpuMutex => Bare::new().map(drop),
        // It takes `xen_lock` inside the read section of `KVM_RUN` for the hypercall page.
        Mistake::SynchronizeUnderXenLock => {
            let mut vm = Vm::new()?;
            xen::intercept_hypercalls(vm.fd())?;
            xen::write_hypercall_page(&mut vm)
        }
        // This is no matter of order.
        Mistake::GpcLockBlockingInTimer => Ok(()),
    }
}

/// A mistake that leads to the same deadlock, but that lockdep has no eye for.
pub fn unseen_beside(mistake: Mistake) -> Option<Mistake> {
    match mistake {
        // `vcpu->mutex`, then a read section, then `kvm->lock`: the read section hides that the
        // mutex is outside of the lock, where no grace period is awaited inside the lock.
        Mistake::KvmLockInsideVcpuMutex => Some(Mistake::KvmLockInsideSrcu),
        _ => None,
    }
}
