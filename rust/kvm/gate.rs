// SPDX-License-Identifier: GPL-2.0

//! The gate: `shared_info`, locked for reading while a sender is looked up and used.
//!
//! Who takes a sender out of the table, or binds it to another vCPU, waits for those who hold the
//! lock: "The gate" in Documentation/locking.rst.

use super::{
    sender::{self, Destination, EventFdRef, SenderRef},
    Target, Vcpu, Vm,
};
use crate::{
    abi::shared_info::SharedInfo,
    sync::{
        gpc::{Locked, Mapping},
        order::GpcLock,
        Ctx, InKvmSrcu, InVmMm, MayEnter, MayWake,
    },
};

/// The gate of a VM, held inside of a read-side critical section of its `kvm->srcu`.
pub(crate) struct Gate<'a, 'g, H> {
    vm: Vm<'a>,
    locked: Locked<'g, SharedInfo>,
    /// The context that the lock was taken in, for when it is released.
    outside: Ctx<'g, H>,
}

impl<'a> Vm<'a> {
    /// Enters the gate. Spins.
    #[inline(always)]
    pub(crate) fn gate<'g, H>(self, cx: &'g mut Ctx<'_, H>) -> Gate<'a, 'g, H>
    where
        'a: 'g,
        // Until the gate is left the VM's address space stays, and with it the page.
        H: InKvmSrcu + InVmMm + MayEnter<GpcLock>,
    {
        Gate {
            vm: self,
            // SAFETY: The context is borrowed as long as the gate, which uses it when the lock is
            // released: see `signal`.
            outside: unsafe { Ctx::assert() },
            locked: self.shared_info().lock(cx),
        }
    }
}

impl<'a, 'g, H> Gate<'a, 'g, H> {
    /// Where events go that are sent through `port`.
    ///
    /// The port may be taken out of the table at any time. Who does that waits until the gate is
    /// left if it leads to a port, and until the read-side critical section ends if it leads to an
    /// eventfd; it is freed only after that section in either case.
    pub(crate) fn find(&self, port: u32) -> Option<Destination<'g>> {
        // SAFETY: The lock is that of the VM's `shared_info`, taken in a read-side critical section
        // that lasts longer than `'g`.
        unsafe { sender::find(&self.locked, self.vm, port) }
    }

    /// The vCPU that a port is bound to, if that takes no search: see [`Vm::target_at_once`].
    pub(crate) fn target(&self, target: Target) -> Option<Vcpu<'a>> {
        self.vm.target_at_once(&self.locked, target)
    }

    /// Notes the index of the vCPU that a sender leads to, unless one is noted already: see
    /// [`SenderRef::note`].
    pub(crate) fn note(&self, sender: &SenderRef<'g>, vcpu: Vcpu<'_>) {
        sender.note(&self.locked, vcpu);
    }

    /// `shared_info`, if it is mapped; else the gate is left.
    pub(crate) fn map(self) -> Option<Mapping<'g, SharedInfo>> {
        self.locked.map()
    }

    /// Leaves the gate, and signals an eventfd, which stays as long as the read-side critical
    /// section: there may be much behind one, the locks of other VMs included, and nobody waits for
    /// the gate for that.
    pub(crate) fn signal(self, eventfd: &EventFdRef<'g>)
    where
        H: MayWake + MayEnter<GpcLock>,
    {
        let Self {
            locked,
            mut outside,
            ..
        } = self;
        drop(locked);
        eventfd.signal(&mut outside);
    }
}
