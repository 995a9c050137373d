// SPDX-License-Identifier: GPL-2.0

//! Each rule of KVM's, the type that holds it, and the tests that prove it: files in
//! `tools-testing/pure/tests/ui`, those that must not compile and those that must.

/// A rule.
pub struct Rule {
    /// What it says, and where.
    pub rule: &'static str,
    /// The type or trait that enforces it.
    pub by: &'static str,
    /// What does not compile.
    pub refused: &'static [&'static str],
    /// What does.
    pub allowed: &'static [&'static str],
}

macro_rules! rules {
    ($($rule:literal, $by:literal, refused [$($refused:ident)*], allowed [$($allowed:ident)*];)*) => {
        &[$(Rule {
            rule: $rule,
            by: $by,
            refused: &[$(stringify!($refused)),*],
            allowed: &[$(stringify!($allowed)),*],
        }),*]
    };
}

/// All of them.
pub const RULES: &[Rule] = rules! {
    "`kvm->lock` is taken outside of `vcpu->mutex`, and neither inside a read section of \
     `kvm->srcu` (T2, T3, T4).",
        "`VcpuMutex: Before<KvmLock>` and `KvmSrcu: Before<KvmLock>`, `Before<VcpuMutex>` are not \
         implemented.",
        refused [kvm_lock_inside_srcu kvm_lock_inside_vcpu_mutex vcpu_mutex_inside_srcu],
        allowed [];
    "`kvm->slots_lock` is not taken inside a read section of `kvm->srcu`, as a grace period is \
     awaited under it; `kvm->slots_arch_lock` may be, as it is released before (T2).",
        "`KvmSrcu: Before<SlotsLock>` is not implemented, `Before<SlotsArchLock>` is.",
        refused [slots_lock_inside_srcu],
        allowed [slots_arch_lock_inside_srcu];
    "A grace period of `kvm->srcu` is awaited under `kvm->lock`, `vcpu->mutex` and `slots_lock`, \
     not under what readers take, nor in a read section (T2, T3).",
        "`MayWaitForSrcu`",
        refused [synchronize_inside_srcu synchronize_under_xen_lock
                 synchronize_under_slots_arch_lock],
        allowed [memslot_update reset_of_ports];
    "`xen_lock` is a leaf: no lock is taken inside it but those of a pfn cache (T4).",
        "`Before<_>` of `XenLock`",
        refused [mutex_under_xen_lock slots_lock_under_xen_lock xen_lock_twice
                 srcu_under_xen_lock],
        allowed [leaf_lock_with_the_locks_of_a_pfn_cache];
    "MMU notifiers take neither `slots_lock` nor `slots_arch_lock`: a memslot update waits, with \
     both held, until no invalidation is under way (T1). Nor do they wait for readers.",
        "`Before<_>` of `Invalidation`; `MayWaitForSrcu`",
        refused [notifier_takes_slots_lock notifier_takes_slots_arch_lock notifier_synchronizes],
        allowed [notifier_takes_gpc_lock];
    "What may not sleep takes no mutex, allocates nothing with `GFP_KERNEL`, and faults in no \
     guest page.",
        "`MaySleep`, `InVmMm`",
        refused [sleep_in_hardirq gfp_kernel_while_atomic gfp_kernel_in_irqfd_wakeup
                 gfp_kernel_in_softirq fault_in_while_atomic fault_in_while_mapped
                 fault_in_without_mm],
        allowed [delivery_from_irqfd];
    "`gpc->lock` is a sleeping lock under `PREEMPT_RT`: in hard interrupts, and where the \
     scheduler calls, it is not waited for.",
        "`MaySpin`",
        refused [blocking_gpc_lock_in_hardirq blocking_gpc_lock_in_sched_out],
        allowed [timer_tries_gpc_lock sched_out_tries_gpc_lock];
    "Under `PREEMPT_RT` its release may switch interrupts on and wake a task: there it is not \
     even tried. With the spinlock of a wait queue held, which sleeps as well, it is.",
        "`MayTryLock`, under `CONFIG_PREEMPT_RT`",
        refused [timer_tries_gpc_lock_under_rt sched_out_tries_gpc_lock_under_rt
                 tried_gpc_lock_anywhere_under_rt],
        allowed [irqfd_wakeup_tries_gpc_lock_under_rt];
    "A task that is woken has its run queue locked, so none is woken where that is held.",
        "`MayWake`",
        refused [wake_in_sched_out],
        allowed [];
    "Nobody sleeps for as long as a guest likes with something held that others wait for: \
     `SCHEDOP_poll` leaves its read section, as `vcpu_block()` does.",
        "`MayWaitForGuest`, `Ctx::leave()`",
        refused [sleep_for_guest_inside_srcu sleep_for_guest_under_xen_lock
                 sleep_for_guest_under_kvm_lock sender_kept_over_halt
                 section_used_while_left],
        allowed [poll_outside_of_srcu];
    "Of the two caches of a structure across two pages, that of the first page is locked first; a \
     refresh takes `refresh_lock` before `gpc->lock`.",
        "`GpcLock: Before<GpcLock2>`",
        refused [gpc_locks_in_wrong_order gpc_refresh_lock_inside_gpc_lock],
        allowed [runstate_across_two_pages];
    "A mapping is checked and refreshed inside a read section of `kvm->srcu`, and is not used \
     after it.",
        "`InKvmSrcu`; the mapping borrows the context.",
        refused [map_outside_srcu fault_in_outside_srcu mapping_kept_over_refresh],
        allowed [];
    "What the caller holds already is not taken again: a hypercall is inside `kvm->srcu`.",
        "`InKvmSrcu`; `KvmSrcu: Before<KvmSrcu>` is not implemented.",
        refused [srcu_twice],
        allowed [hypercall_enters_nothing_twice];
    "A context is a task's own, and ends with the guard that gave it; it costs nothing.",
        "The lifetime of `Ctx`, which has no size",
        refused [guard_escapes_context context_outlives_guard outer_context_used_inside
                 outer_context_used_beside_inner
                 context_sent_to_another_task context_made_from_nothing],
        allowed [contexts_have_no_size];
};
