// SPDX-License-Identifier: GPL-2.0

//! Why each edge of the order is there. All others follow from these.

use crate::declared::Edge;

/// A thread on the list that settled something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thread {
    /// `mmu_notifier_slots_lock`, April 2021.
    Notifiers,
    /// "clarify SRCU locking order", December 2022 to January 2023.
    SrcuOrder,
    /// "Move `synchronize_srcu()` out of `kvm->lock`", December 2022 to January 2023.
    OutOfKvmLock,
    /// "Avoid deadlock by adding `kvm->arch.xen.xen_lock` leaf node lock", January 2023.
    Leaf,
}

impl Thread {
    /// The label of the thread's entry in the document.
    pub fn label(self) -> &'static str {
        match self {
            Self::Notifiers => "T1",
            Self::SrcuOrder => "T2",
            Self::OutOfKvmLock => "T3",
            Self::Leaf => "T4",
        }
    }
}

/// Why one edge is there.
pub struct Reason {
    /// The edge.
    pub edge: Edge,
    /// Where it comes from, in KVM or here.
    pub place: &'static str,
    /// Why it is this way around.
    pub why: &'static str,
    /// Who settled it, where that was a matter of debate.
    pub thread: Option<Thread>,
}

macro_rules! reasons {
    ($($outer:ident > $inner:ident, $place:literal, $why:literal $(, $thread:ident)?;)*) => {
        &[$(Reason {
            edge: Edge::new(stringify!($outer), stringify!($inner)),
            place: $place,
            why: $why,
            thread: reasons!(@ $($thread)?),
        }),*]
    };
    (@) => { None };
    (@ $thread:ident) => { Some(Thread::$thread) };
}

/// The edges that have a reason of their own.
pub const REASONS: &[Reason] = reasons! {
    VmMm > KvmLock, "`kvm_vm_ioctl()`, `kthread_use_mm()`",
        "An ioctl has the address space before it has anything else, and a kernel thread borrows \
         it with nothing held.";
    KvmLock > VcpuMutex, "`kvm_vm_ioctl_create_vcpu()`, `kvm_lock_all_vcpus()`",
        "What concerns all vCPUs stops each of them, one by one, and others from coming.",
        OutOfKvmLock;
    KvmLock > SlotsLock, "`KVM_CREATE_IRQCHIP`, `KVM_CREATE_PIT2`",
        "An interrupt controller puts its registers on the I/O bus, which `slots_lock` protects.";
    KvmLock > KvmSrcu, "`kvm_pic_destroy()` where `KVM_CREATE_IRQCHIP` fails",
        "A device is taken off the bus, and a grace period awaited, with `kvm->lock` held. So that \
         is never taken in a read-side critical section.",
        SrcuOrder;
    VcpuMutex > SlotsLock, "`kvm_inhibit_apic_access_page()`",
        "A vCPU that does without AVIC removes a memslot, in the middle of `KVM_RUN`, which leaves \
         its read-side critical section for that.";
    VcpuMutex > IrqSrcu, "`kvm_notify_acked_irq()`",
        "The guest ends an interrupt, and whoever waits for that is told.";
    VcpuMutex > KvmSrcu, "`kvm_arch_vcpu_ioctl_run()`",
        "`KVM_RUN` reads memslots all the time, and leaves the section only to enter the guest or \
         to sleep. So `vcpu->mutex` is never taken in a read-side critical section.",
        OutOfKvmLock;
    SlotsLock > SlotsArchLock, "`kvm_set_memslot()`",
        "The new memslots are made under both, and `slots_arch_lock` is released before the grace \
         period.",
        SrcuOrder;
    SlotsLock > KvmSrcu, "`kvm_swap_active_memslots()`",
        "The grace period of a memslot update is awaited under `slots_lock`. So that is never \
         taken in a read-side critical section.",
        SrcuOrder;
    IrqSrcu > KvmSrcu, "`irqfd_wakeup()`",
        "The route is looked up, and the event delivered, inside the read-side critical section \
         of the route.";
    KvmSrcu > SlotsArchLock, "`mmu_first_shadow_root_alloc()`",
        "A vCPU allocates what the shadow MMU keeps per memslot in the middle of an exit. It can, \
         as nobody waits for readers with this lock held.",
        SrcuOrder;
    KvmSrcu > XenLock, "`kvm_xen_write_hypercall_page()`, and all of this module",
        "The guest has the hypercall page written in `KVM_RUN`, inside the section. So no grace \
         period is awaited under `xen_lock`.",
        Leaf;
    KvmSrcu > GpcRefreshLock, "`kvm_xen_set_evtchn()`",
        "A refresh looks the page up in the memslots.";
    XenLock > GpcRefreshLock, "`kvm_xen_hvm_set_attr()`",
        "Xen's pages are put into place with Xen's state held. It is a leaf otherwise.",
        Leaf;
    SlotsArchLock > Invalidation, "`kvm_swap_active_memslots()`",
        "Both ends of an invalidation are to see one array of memslots, so an update waits until \
         none is under way. So a notifier takes neither `slots_lock` nor `slots_arch_lock`.",
        Notifiers;
    GpcRefreshLock > Invalidation, "`hva_to_pfn_retry()`",
        "A page that was looked up during an invalidation may be gone: the refresh begins again \
         until there is none.",
        Notifiers;
    GpcRefreshLock > GpcLock, "`__kvm_gpc_refresh()`",
        "The mapping is changed with both held, and looked up with the outer one alone.";
    Invalidation > GpcLock, "`gfn_to_pfn_cache_invalidate_start()`",
        "A notifier takes the mapping away, and waits for those who use it: they do nothing that \
         waits.";
    GpcLock > GpcLock2, "`kvm_xen_update_runstate_guest()`",
        "A structure that lies across two pages has the lock of the first page taken first.";
};
