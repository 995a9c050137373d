// SPDX-License-Identifier: GPL-2.0

//! Each rule, the type that holds it, and the functions in `tools-testing/types` that prove it: those
//! that must not compile and those that must.

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
    "`kvm->lock` is taken outside of `vcpu->mutex`, and neither inside a read-side critical \
     section of `kvm->srcu` (T2, T3, T4).",
        "`VcpuMutex: Before<KvmLock>` and `KvmSrcu: Before<KvmLock>`, `Before<VcpuMutex>` are not \
         implemented.",
        refused [kvm_lock_inside_srcu kvm_lock_inside_vcpu_mutex vcpu_mutex_inside_srcu],
        allowed [];
    "`kvm->slots_lock` is not taken inside a read-side critical section of `kvm->srcu`, as a \
     grace period is awaited under it; `kvm->slots_arch_lock` may be, as it is released before (T2).",
        "`KvmSrcu: Before<SlotsLock>` is not implemented, `Before<SlotsArchLock>` is.",
        refused [slots_lock_inside_srcu],
        allowed [slots_arch_lock_inside_srcu];
    "A grace period of `kvm->srcu` is awaited under `kvm->lock`, `vcpu->mutex` and `slots_lock`, \
     not under what readers take, nor in a read-side critical section (T2, T3).",
        "`MayWaitForSrcu`",
        refused [synchronize_inside_srcu synchronize_under_xen_lock
                 synchronize_under_slots_arch_lock],
        allowed [memslot_update reset_of_ports];
    "`xen_lock` is a leaf: no lock is taken inside it but those of a pfn cache (T4).",
        "`Before<_>` of `XenLock`",
        refused [mutex_under_xen_lock slots_lock_under_xen_lock xen_lock_twice
                 srcu_under_xen_lock static_key_inside_xen_lock],
        allowed [leaf_lock_with_the_locks_of_a_pfn_cache];
    "MMU notifiers take neither `slots_lock` nor `slots_arch_lock`: a memslot update waits, with \
     both held, until no invalidation is under way (T1). Nor do they wait for readers.",
        "`Before<_>` of `Invalidation`; `MayWaitForSrcu`",
        refused [notifier_takes_slots_lock notifier_takes_slots_arch_lock notifier_synchronizes],
        allowed [notifier_takes_gpc_lock];
    "What may not sleep takes no mutex, allocates nothing with `GFP_KERNEL`, and faults in no \
     guest page.",
        "`MaySleep`, `InVmMm`",
        refused [sleep_in_hardirq anything_dropped_in_a_callback sleep_with_interrupts_off gfp_kernel_while_atomic
                 gfp_kernel_in_interrupts timer_cancelled_in_hardirq fault_in_while_atomic fault_in_while_mapped
                 fault_in_without_mm fault_in_where_an_irqfd_is_woken],
        allowed [delivery_from_irqfd_workqueue];
    "`gpc->lock` is a sleeping lock under `PREEMPT_RT`: in hard interrupts, and where the \
     scheduler calls, it is not waited for.",
        "`MaySpin`",
        refused [blocking_gpc_lock_in_hardirq blocking_gpc_lock_in_sched_out],
        allowed [];
    "Under `PREEMPT_RT` its release may switch interrupts on and wake a task: there it is not \
     even tried. With the spinlock of a wait queue held, which sleeps as well, it is.",
        "`MayTryLock`, under `CONFIG_PREEMPT_RT`",
        refused [timer_tries_gpc_lock sched_out_tries_gpc_lock tried_gpc_lock_anywhere],
        allowed [delivery_from_irqfd_wakeup];
    "A task that is woken has its run queue locked, so none is woken where that is held.",
        "`MayWake`",
        refused [wake_in_sched_out],
        allowed [];
    "Nobody sleeps for as long as a guest likes with something held that others wait for: \
     `SCHEDOP_poll` leaves its read-side critical section, as `vcpu_block()` does.",
        "`MayWaitForGuest`, `Ctx::leave()`",
        refused [sleep_for_guest sender_kept_over_halt section_left_by_safe_code],
        allowed [poll_outside_of_srcu];
    "Of the two caches of a structure across two pages, that of the first page is locked first, and \
     released last; a refresh takes `refresh_lock` before `gpc->lock`.",
        "`GpcLock: Before<GpcLock2>`, `Parts`",
        refused [gpc_locks_in_wrong_order first_page_released_first gpc_refresh_lock_inside_gpc_lock],
        allowed [runstate_across_two_pages];
    "A mapping is checked and refreshed inside a read-side critical section of `kvm->srcu`, and \
     is not used after it.",
        "`InKvmSrcu`; the mapping borrows the context.",
        refused [map_outside_srcu fault_in_outside_srcu mapping_kept_over_refresh
                 runstate_kept_over_allocation],
        allowed [];
    "What the caller holds already is not taken again: a hypercall is inside `kvm->srcu`.",
        "`InKvmSrcu`; `KvmSrcu: Before<KvmSrcu>` is not implemented.",
        refused [srcu_twice],
        allowed [hypercall_enters_nothing_twice];
    "A context is a task's own, and ends with the guard that gave it; it costs nothing.",
        "The lifetime of `Ctx`, which has no size",
        refused [guard_escapes_context context_outlives_guard outer_context_used_inside
                 context_sent_to_another_task],
        allowed [contexts_have_no_size];
    "No right is made up: a context comes from the C boundary, a property of one from the table.",
        "Evidence traits are unsafe to implement; `Ctx::assert()` is unsafe.",
        refused [context_made_from_nothing context_of_ones_own section_made_up order_reversed
                 unsafe_where_it_is_forbidden],
        allowed [];
    "What belongs to a vCPU is touched by the task that holds its mutex, and by no other.",
        "`OwnVcpu`",
        refused [state_of_another_vcpu another_vcpu_made_ones_own timer_of_another_vcpu],
        allowed [];
    "What readers of `kvm->srcu` may still look at is freed after a grace period.",
        "`Retired`",
        refused [grace_period_undone grace_period_undone_by_parts callback_without_retirement
                 eventfd_escapes_section vm_destroyed_by_an_irqfd],
        allowed [];
    "An eventfd is signalled with no gate held: behind it may be other VMs'.",
        "`Gate::signal()`, which takes the gate",
        refused [eventfd_signalled_inside_of_the_gate],
        allowed [];
    "Guest memory is read as what any bytes are a value of, within a structure that is declared.",
        "`FromBytes`; `Structure`, which is sealed",
        refused [guests_byte_as_bool structure_of_ones_own structure_in_part],
        allowed [];
    "A sender leads to a port that is not 0, or to an eventfd.",
        "`NonZeroU32`",
        refused [sender_to_port_0],
        allowed [];
};
