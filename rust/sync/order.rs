// SPDX-License-Identifier: GPL-2.0

//! The lock order, declared once.
//!
//! A *level* is something that a task can be inside of: a lock, a read-side critical section, or
//! a state of the CPU that limits what may be done. The table says of each level how it is
//! entered, which properties of a context it keeps, and which levels come after it. From it come
//! the trait implementations that the compiler checks, the tables of Documentation/locking.rst,
//! and the picture beside that.
//!
//! Source: Documentation/virt/kvm/locking.rst, and the callers of KVM's Xen code. The order is a
//! strict partial one: every [`Before`] is written out, what follows by transitivity too, so that
//! only the innermost level need be asked. The host tests check that it is.

use super::context::{
    InKvmSrcu, InVmMm, MaySleep, MaySpin, MayTryLock, MayWaitForGuest, MayWaitForSrcu, MayWake,
    Within,
};

/// Something a task can be inside of.
///
/// # Safety
///
/// The number is that of no other level, and the rest is so of whatever is entered as this level.
pub(crate) unsafe trait Level {
    /// How it is entered: [`Asleep`], [`Spinning`] or [`AtOnce`].
    type Entry;
    /// Its number.
    const ID: Id;
    /// Whether a task inside of it may sleep.
    const SLEEPS: bool;
}

/// Entered by waiting asleep, as a mutex is.
pub(crate) struct Asleep;

/// Entered by spinning, and under `PREEMPT_RT` asleep, as an `rwlock_t` is.
pub(crate) struct Spinning;

/// Entered without waiting, as a read-side critical section of SRCU is.
pub(crate) struct AtOnce;

/// `Self` is taken before `Inner`: a task inside `Self` may enter `Inner`.
///
/// # Examples
///
/// ```
/// use crate::sync::order::{Before, GpcRefreshLock, KvmSrcu, Level, XenLock};
///
/// const fn before<Outer: Before<Inner>, Inner: Level>() {}
///
/// const _: () = before::<KvmSrcu, XenLock>();
/// const _: () = before::<XenLock, GpcRefreshLock>();
/// // What follows is declared, too.
/// const _: () = before::<KvmSrcu, GpcRefreshLock>();
/// ```
///
/// # Safety
///
/// No task waits for `Self` inside of `Inner`; and what comes before `Self` comes before `Inner`.
#[diagnostic::on_unimplemented(
    message = "`{Inner}` may not be entered inside `{Self}`",
    label = "the lock order forbids this",
    note = "the order is declared in rust/sync/order.rs"
)]
pub(crate) unsafe trait Before<Inner: Level>: Level {}

/// One level of the table, for the document, the picture and the tests.
#[cfg(not(MODULE))]
pub struct Row {
    /// The type's name.
    pub level: &'static str,
    /// What kernel code calls it.
    pub name: &'static str,
    /// What it is, a line a string.
    pub doc: &'static [&'static str],
    /// How it is entered.
    pub entry: &'static str,
    /// What lockdep calls its classes, if it has any.
    pub lockdep: &'static [&'static str],
    /// The properties of a context that are so inside it if they are so outside.
    pub keeps: &'static [&'static str],
    /// Those that are so but under `PREEMPT_RT`.
    pub unless_rt: &'static [&'static str],
    /// The levels that may be entered inside it, but for those that may be entered anywhere.
    pub inner: &'static [&'static str],
    /// It may be entered inside every level.
    pub anywhere: bool,
}

macro_rules! lock_order {
    // The levels that have a place in the order, and those that come on top of any other.
    (in_order { $($ordered:tt)* } anywhere { $($anywhere:tt)* }) => {
        lock_order!(@levels false $($ordered)*);
        lock_order!(@levels true $($anywhere)*);
        lock_order!(@ids $($ordered)* $($anywhere)*);

        /// The order, outermost level first, and then what comes anywhere.
        #[cfg(not(MODULE))]
        pub const TABLE: [&[Row]; 2] = [
            lock_order!(@rows false $($ordered)*),
            lock_order!(@rows true $($anywhere)*),
        ];
    };

    (@levels $anywhere:ident $(
        $(#[doc = $doc:literal])*
        $level:ident = $name:literal, $entry:ident, lockdep [$($lockdep:literal),*],
            keeps [$($keeps:ident)*], unless_rt [$($unless_rt:ident)*],
            then [$($inner:ident)*];
    )*) => {$(
        $(#[doc = $doc])*
        pub(crate) struct $level;
        // SAFETY: As the table declares it; the numbers are those of an enum.
        unsafe impl Level for $level {
            type Entry = $entry;
            const ID: Id = Id::$level;
            const SLEEPS: bool = lock_order!(@sleeps $($keeps)*);
        }
        $(
            #[diagnostic::do_not_recommend]
            // SAFETY: As the table declares it.
            unsafe impl<H: $keeps> $keeps for Within<$level, H> {}
        )*
        $(
            #[cfg(not(CONFIG_PREEMPT_RT))]
            #[diagnostic::do_not_recommend]
            // SAFETY: As the table declares it.
            unsafe impl<H: $unless_rt> $unless_rt for Within<$level, H> {}
        )*
        $(
            // SAFETY: As the table declares it.
            unsafe impl Before<$inner> for $level {}
        )*
        lock_order!(@anywhere $anywhere $level);
    )*};
    (@anywhere true $level:ident) => {
        // SAFETY: As the table declares it: nobody waits for it.
        unsafe impl<Outer: Level> Before<$level> for Outer {}
    };
    (@anywhere false $level:ident) => {};
    // It is the first of the properties in the lists.
    (@sleeps MaySleep $($rest:ident)*) => { true };
    (@sleeps $($rest:ident)*) => { false };

    (@ids $($(#[$doc:meta])* $level:ident = $name:literal, $entry:ident, lockdep $lockdep:tt,
        keeps $keeps:tt, unless_rt $unless_rt:tt, then $then:tt;)*) => {
        /// The levels as numbers, for checks at run time.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Id {
            $($(#[$doc])* $level),*
        }
        impl Id {
            /// All of them.
            #[allow(dead_code, reason = "for kernels that check contexts")]
            pub(crate) const ALL: &[Self] = &[$(Self::$level),*];
        }
    };
    (@rows $anywhere:ident $(
        $(#[doc = $doc:literal])*
        $level:ident = $name:literal, $entry:ident, lockdep [$($lockdep:literal),*],
            keeps [$($keeps:ident)*], unless_rt [$($unless_rt:ident)*],
            then [$($inner:ident)*];
    )*) => {
        &[$(Row {
            level: stringify!($level),
            name: $name,
            doc: &[$($doc),*],
            entry: stringify!($entry),
            lockdep: &[$($lockdep),*],
            keeps: &[$(stringify!($keeps)),*],
            unless_rt: &[$(stringify!($unless_rt)),*],
            inner: &[$(stringify!($inner)),*],
            anywhere: $anywhere,
        }),*]
    };
}

lock_order! {
in_order {
    /// The address space that the VM belongs to is the current one: its process runs, or a
    /// kernel thread has borrowed it. Guest pages can be faulted in.
    VmMm = "the VM's mm", Asleep, lockdep [],
        keeps [MaySleep MaySpin MayTryLock MayWake MayWaitForSrcu MayWaitForGuest],
            unless_rt [],
        then [KvmLock VcpuMutex SlotsLock IrqSrcu KvmSrcu SlotsArchLock XenLock GpcRefreshLock
              Invalidation GpcLock GpcLock2];

    /// Creation of vCPUs and devices, and VM-wide state. Never taken by this module.
    KvmLock = "kvm->lock", Asleep, lockdep ["&kvm->lock"],
        keeps [MaySleep MaySpin MayTryLock MayWake MayWaitForSrcu InVmMm], unless_rt [],
        then [VcpuMutex SlotsLock IrqSrcu KvmSrcu SlotsArchLock XenLock GpcRefreshLock
              Invalidation GpcLock GpcLock2];

    /// Held through every ioctl of a vCPU, so while the guest runs or sleeps. Never taken by
    /// this module.
    VcpuMutex = "vcpu->mutex", Asleep, lockdep ["&vcpu->mutex"],
        keeps [MaySleep MaySpin MayTryLock MayWake MayWaitForSrcu MayWaitForGuest InVmMm],
            unless_rt [],
        then [SlotsLock IrqSrcu KvmSrcu SlotsArchLock XenLock GpcRefreshLock Invalidation GpcLock
              GpcLock2];

    /// Changes of memslots; a grace period of `kvm->srcu` is awaited under it. Never taken by
    /// this module.
    SlotsLock = "kvm->slots_lock", Asleep, lockdep ["&kvm->slots_lock"],
        keeps [MaySleep MaySpin MayTryLock MayWake MayWaitForSrcu InVmMm], unless_rt [],
        then [KvmSrcu SlotsArchLock XenLock GpcRefreshLock Invalidation GpcLock GpcLock2];

    /// The read side of the interrupt routing table.
    IrqSrcu = "kvm->irq_srcu (read)", AtOnce, lockdep ["&kvm->irq_srcu"],
        keeps [MaySleep MaySpin MayTryLock MayWake InVmMm], unless_rt [],
        then [KvmSrcu SlotsArchLock XenLock GpcRefreshLock Invalidation GpcLock GpcLock2];

    /// The read side of the memslots, and of the sending ports.
    KvmSrcu = "kvm->srcu (read)", AtOnce, lockdep ["&kvm->srcu"],
        keeps [MaySleep MaySpin MayTryLock MayWake InVmMm], unless_rt [],
        then [SlotsArchLock XenLock GpcRefreshLock Invalidation GpcLock GpcLock2];

    /// What architectures allocate per memslot. Released before the grace period of a memslot
    /// update, so that it can be taken inside a read-side critical section. Never taken by this
    /// module.
    SlotsArchLock = "kvm->slots_arch_lock", Asleep, lockdep ["&kvm->slots_arch_lock"],
        keeps [MaySleep MaySpin MayTryLock MayWake InKvmSrcu InVmMm], unless_rt [],
        then [Invalidation GpcLock GpcLock2];

    /// Xen's state of a VM: a leaf, with only the locks of a pfn cache inside it.
    XenLock = "kvm->arch.xen.xen_lock", Asleep, lockdep ["&kvm->arch.xen.xen_lock"],
        keeps [MaySleep MaySpin MayTryLock MayWake InKvmSrcu InVmMm], unless_rt [],
        then [GpcRefreshLock Invalidation GpcLock GpcLock2];

    /// Changes of one pfn cache.
    GpcRefreshLock = "gpc->refresh_lock", Asleep, lockdep ["&gpc->refresh_lock"],
        keeps [MaySleep MaySpin MayTryLock MayWake InKvmSrcu InVmMm], unless_rt [],
        then [Invalidation GpcLock GpcLock2];

    /// An invalidation of the VM's pages, counted in `mn_active_invalidate_count`: from an MMU
    /// notifier's start to its end. A memslot update and a refresh of a pfn cache wait until
    /// there is none, and an allocation may cause one. It may come where nothing may sleep. This
    /// module is never called in it.
    // "srcu" is the read-side critical section that mm/mmu_notifier.c calls all notifiers in. The
    // count has a spinlock, which a memslot update holds while it looks whether it must wait.
    Invalidation = "mn_active_invalidate_count", Asleep,
            lockdep ["mmu_notifier_invalidate_range_start", "srcu", "&kvm->mn_invalidate_lock"],
        keeps [MaySpin MayTryLock MayWake], unless_rt [],
        then [GpcLock GpcLock2];

    /// The mapping of one pfn cache, held for reading with interrupts off, but under `PREEMPT_RT`.
    GpcLock = "gpc->lock (read)", Spinning, lockdep ["&gpc->lock", "&gpc->lock/1"],
        keeps [MaySpin MayTryLock MayWake InKvmSrcu], unless_rt [],
        then [GpcLock2];

    /// The mapping of the second of two pages that a structure lies across.
    GpcLock2 = "gpc->lock (read, second page)", Spinning, lockdep ["&gpc->lock"],
        keeps [MaySpin MayTryLock MayWake InKvmSrcu], unless_rt [],
        then [];
}

anywhere {
    /// Preemption is off, so a spinlock may be held; under `PREEMPT_RT` a raw one.
    PreemptOff = "preemption off", AtOnce, lockdep [],
        keeps [MayWake InKvmSrcu], unless_rt [MayTryLock],
        then [IrqSrcu KvmSrcu];

    /// Interrupts are off, so the spinlock of a wait queue may be held; under `PREEMPT_RT` a raw
    /// one.
    IrqsOff = "interrupts off", AtOnce, lockdep [],
        keeps [MayWake InKvmSrcu], unless_rt [MayTryLock],
        then [IrqSrcu KvmSrcu];

    /// A spinlock of others is held, as that of a wait queue, and interrupts may be off for it.
    /// Under `PREEMPT_RT` that is a sleeping lock, and they are on.
    Spinlock = "a spinlock", AtOnce, lockdep [],
        keeps [MayTryLock MayWake], unless_rt [],
        then [IrqSrcu KvmSrcu];

    /// This is a timer's soft interrupt. Whatever it came on top of may be held.
    Softirq = "soft interrupt", AtOnce, lockdep [],
        keeps [MayTryLock MayWake], unless_rt [],
        then [IrqSrcu KvmSrcu];

    /// This is a hard interrupt. Whatever it came on top of may be held.
    HardIrq = "hard interrupt", AtOnce, lockdep [],
        keeps [MayWake], unless_rt [MayTryLock],
        then [IrqSrcu KvmSrcu];

    /// The scheduler holds the lock of a run queue, as when it switches from a vCPU to another
    /// task. To wake a task would take such a lock again.
    RunQueue = "rq->lock", AtOnce, lockdep ["&rq->__lock"],
        keeps [], unless_rt [MayTryLock],
        then [IrqSrcu KvmSrcu];

    /// Interrupts may be off, a spinlock may be held, or this may be an interrupt: nothing is
    /// known of the caller, so it must not sleep, nor spin for a lock of KVM's, nor under
    /// `PREEMPT_RT` try one.
    Atomic = "atomic", AtOnce, lockdep [],
        keeps [MayWake], unless_rt [MayTryLock],
        then [IrqSrcu KvmSrcu];
}
}
