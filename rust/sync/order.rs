// SPDX-License-Identifier: GPL-2.0

//! The lock order, declared once.
//!
//! A *level* is something that a task can be inside of: a lock, a read-side critical section, or
//! a state of the CPU that limits what may be done. The table says for each level what may be
//! entered inside it, and whether a task inside it may sleep, or may wait for a grace period of
//! `kvm->srcu`. From it come the trait implementations that the compiler checks.
//!
//! Source: Documentation/virt/kvm/locking.rst, and the callers of KVM's Xen code. The order is a
//! strict partial one: every `Before` is written out, what follows by transitivity too, so that
//! only the innermost level need be asked. The host tests check that it is.

use super::context::{MaySleep, MayWaitForSrcu, Within};

/// Something a task can be inside of.
pub(crate) trait Level {}

/// `Self` is taken before `Inner`: a task inside `Self` may enter `Inner`.
#[diagnostic::on_unimplemented(
    message = "`{Inner}` may not be entered inside `{Self}`",
    label = "the lock order forbids this",
    note = "the order is declared in rust/sync/order.rs"
)]
pub(crate) trait Before<Inner: Level>: Level {}

/// One level of the table, for the document and the tests.
#[cfg(not(MODULE))]
pub(crate) struct Row {
    /// The type's name.
    pub(crate) level: &'static str,
    /// What kernel code calls it.
    pub(crate) name: &'static str,
    /// A task inside it may sleep.
    pub(crate) sleep: bool,
    /// A task inside it may wait for a grace period of `kvm->srcu`.
    pub(crate) wait: bool,
    /// The levels that may be entered inside it.
    pub(crate) inner: &'static [&'static str],
}

macro_rules! lock_order {
    ($(
        $(#[$doc:meta])*
        $level:ident = $name:literal, sleep: $sleep:ident, wait: $wait:ident,
            then [$($inner:ident),*];
    )*) => {
        $(
            $(#[$doc])*
            pub(crate) struct $level;
            impl Level for $level {}
            $(impl Before<$inner> for $level {})*
            lock_order!(@MaySleep $sleep $level);
            lock_order!(@MayWaitForSrcu $wait $level);
        )*

        /// The order, outermost level first.
        #[cfg(not(MODULE))]
        pub(crate) const TABLE: &[Row] = &[$(Row {
            level: stringify!($level),
            name: $name,
            sleep: lock_order!(@bool $sleep),
            wait: lock_order!(@bool $wait),
            inner: &[$(stringify!($inner)),*],
        }),*];
    };
    (@$what:ident yes $level:ident) => {
        impl<H: $what> $what for Within<$level, H> {}
    };
    (@$what:ident no $level:ident) => {};
    (@bool yes) => { true };
    (@bool no) => { false };
}

lock_order! {
    /// The address space that the VM belongs to is the current one: its process runs, or a
    /// kernel thread has borrowed it. Guest pages can be faulted in.
    VmMm = "the VM's mm", sleep: yes, wait: yes,
        then [KvmLock, VcpuMutex, SlotsLock, IrqSrcu, KvmSrcu, SlotsArchLock, XenLock,
              GpcRefreshLock, GpcLock];

    /// Creation of vCPUs and devices, and VM-wide state. Never taken by this module.
    KvmLock = "kvm->lock", sleep: yes, wait: yes,
        then [VcpuMutex, SlotsLock, IrqSrcu, KvmSrcu, SlotsArchLock, XenLock, GpcRefreshLock,
              GpcLock];

    /// Held through every ioctl of a vCPU. Never taken by this module.
    VcpuMutex = "vcpu->mutex", sleep: yes, wait: yes,
        then [SlotsLock, IrqSrcu, KvmSrcu, SlotsArchLock, XenLock, GpcRefreshLock, GpcLock];

    /// Changes of memslots; a grace period of `kvm->srcu` is awaited under it. Never taken by
    /// this module.
    SlotsLock = "kvm->slots_lock", sleep: yes, wait: yes,
        then [IrqSrcu, KvmSrcu, SlotsArchLock, XenLock, GpcRefreshLock, GpcLock];

    /// The read side of the interrupt routing table.
    IrqSrcu = "kvm->irq_srcu (read)", sleep: yes, wait: no,
        then [KvmSrcu, GpcLock];

    /// The read side of the memslots, and of the sending ports.
    KvmSrcu = "kvm->srcu (read)", sleep: yes, wait: no,
        then [SlotsArchLock, XenLock, GpcRefreshLock, GpcLock];

    /// What architectures allocate per memslot. Released before the grace period of a memslot
    /// update, so that it can be taken inside a read section.
    SlotsArchLock = "kvm->slots_arch_lock", sleep: yes, wait: no,
        then [];

    /// Xen's state of a VM: a leaf, with only the locks of a pfn cache inside it.
    XenLock = "kvm->arch.xen.xen_lock", sleep: yes, wait: no,
        then [GpcRefreshLock, GpcLock];

    /// Changes of one pfn cache.
    GpcRefreshLock = "gpc->refresh_lock", sleep: yes, wait: no,
        then [GpcLock];

    /// The mapping of one pfn cache, held for reading with interrupts off.
    GpcLock = "gpc->lock (read)", sleep: no, wait: no,
        then [];

    /// Interrupts may be off, a spinlock may be held, or this may be an interrupt: nothing is
    /// known of the caller, so it must not sleep, nor spin for a lock of KVM's.
    Atomic = "atomic", sleep: no, wait: no,
        then [IrqSrcu, KvmSrcu];
}
