// SPDX-License-Identifier: GPL-2.0
//! The right order of locks, as KVM itself takes them.

use anyhow::Result;

use crate::guest::{Bare, Vm};
use crate::requests::Mistake;

/// Has KVM take the locks of a mistake in their right order, on a VM of its own that is gone
/// afterwards.
pub fn keep(mistake: Mistake) -> Result<()> {
    match mistake {
        // KVM takes `slots_lock` inside `kvm->lock` for the interrupt controller, and waits for a
        // grace period of `kvm->srcu` under `slots_lock` for the memory.
        Mistake::KvmLockInsideSrcu => Vm::new()?.update_memslots(),
        // A vCPU comes first here, for what is not seen beside.
        Mistake::SlotsLockInsideSrcu => {
            Bare::new()?;
            Vm::new()?.update_memslots()
        }
        // It takes `vcpu->mutex` inside `kvm->lock` for a new vCPU.
        Mistake::KvmLockInsideVcpuMutex => Bare::new().map(drop),
        // It takes `xen_lock` inside the read section of `KVM_RUN` for the hypercall page.
        Mistake::SynchronizeUnderXenLock => Vm::new()?.write_hypercall_page(),
        // This is no matter of order.
        Mistake::GpcLockBlockingInTimer => Ok(()),
    }
}

/// A mistake that could lead to a deadlock as well, after what was kept for this one, but that
/// lockdep does not see. Documentation/locking.rst has why.
pub fn unseen_beside(mistake: Mistake) -> Option<Mistake> {
    match mistake {
        // The read section hides that `vcpu->mutex` is outside of `kvm->lock`.
        Mistake::KvmLockInsideVcpuMutex => Some(Mistake::KvmLockInsideSrcu),
        // From `kvm->lock` the section is found by way of `vcpu->mutex`, where it is no circle,
        // and so no more by way of `slots_lock`, where it is.
        Mistake::SlotsLockInsideSrcu => Some(Mistake::KvmLockInsideSrcu),
        _ => None,
    }
}

/// Whether a report depends on the order in which lockdep comes to know of edges, and so on
/// nobody having used KVM before.
pub fn needs_fresh_boot(mistake: Mistake) -> bool {
    mistake == Mistake::KvmLockInsideSrcu || unseen_beside(mistake).is_some()
}
