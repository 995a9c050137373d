// SPDX-License-Identifier: GPL-2.0

//! The trusted base: each C function that the module calls, what that needs of its caller, and what
//! in the module sees to it. Beyond this the types prove nothing: if a row is wrong, so is what
//! follows from it.

/// C functions that need the same.
pub struct Trusted {
    /// Their names.
    pub functions: &'static [&'static str],
    /// The file that calls them, in `rust/`.
    pub file: &'static str,
    /// What they need.
    pub needs: &'static str,
    /// What sees to it: words of that file.
    pub by: &'static [&'static str],
}

macro_rules! trusted {
    ($($file:literal { $([$($function:ident)*] $needs:literal, by [$($by:literal),*];)* })*) => {
        &[$($(Trusted {
            functions: &[$(stringify!($function)),*],
            file: $file,
            needs: $needs,
            by: &[$($by),*],
        },)*)*]
    };
}

/// All of them, by file.
pub const TRUSTED: &[Trusted] = trusted! {
    "sync/xen_lock.rs" {
        [mutex_lock] "May sleep. In its place in the lock order, and not held.",
            by ["H: MayEnter<XenLock>"];
        [mutex_unlock] "Held by this task.", by ["struct Guard"];
    }
    "sync/srcu.rs" {
        [__srcu_read_lock __srcu_read_unlock kvm_xen_rs_srcu_read_lock
         kvm_xen_rs_srcu_read_unlock] "Any context. Left by the task that entered, once.",
            by ["struct Guard"];
        [synchronize_srcu_expedited]
            "May sleep. In no read-side critical section, nor with a lock held that is taken in \
                one.",
            by ["pub(crate) unsafe fn synchronize_expedited"];
    }
    "sync/srcu/call.rs" {
        [try_module_get module_put] "Any context.", by ["struct Slot"];
    }
    "sync/srcu/call/own.rs" {
        [call_srcu] "Any context. The callback's code and the SRCU stay until it has run.",
            by ["slot: Option<Slot>", "DropAnywhere"];
    }
    "sync/gpc.rs" {
        [kvm_gpc_deactivate] "May sleep; takes `refresh_lock`.",
            by ["H: MaySleep + MayEnter<GpcRefreshLock>"];
    }
    "sync/gpc/alone.rs" {
        [kvm_xen_rs_write_lock_irq] "Spins. Interrupts are on.",
            by ["H: MaySleep + MayEnter<GpcLock>"];
        [kvm_xen_rs_write_unlock_irq] "Held by this task, interrupts on before.",
            by ["struct LockedAlone"];
    }
    "sync/gpc/lock.rs" {
        [kvm_gpc_activate kvm_gpc_activate_hva]
            "May sleep, as long as the page takes. In `kvm->srcu` and the VM's mm; takes \
             `refresh_lock`.",
            by ["pub(super) unsafe fn activate"];
        [kvm_gpc_refresh] "As `kvm_gpc_activate()`; the cache was active once.",
            by ["pub(super) unsafe fn refresh", "active"];
        [mark_page_dirty_in_slot] "In `kvm->srcu`; the memslot is that of the section.",
            by ["pub(super) unsafe fn mark_dirty"];
        [mmget_not_zero mmput_async] "Any context without a run queue's lock.",
            by ["has::<H>(Id::RunQueue)"];
    }
    "sync/gpc/rwlock.rs" {
        [kvm_xen_rs_read_lock_irqsave queued_read_lock_slowpath] "Spins.",
            by ["unsafe fn read("];
        [kvm_xen_rs_read_trylock_irqsave kvm_xen_rs_read_unlock_irqrestore]
            "Any context but, under `PREEMPT_RT`, those where the release may not wake.",
            by ["unsafe fn try_read(", "unsafe fn unlock("];
    }
    "kvm/enabled.rs" {
        [kvm_xen_rs_static_branch_inc]
            "May sleep; takes locks that come before those of a VM.",
            by ["H: MayEnter<XenLock>"];
        [kvm_xen_rs_static_branch_dec_deferred] "Any context. A count of the caller's own.",
            by [];
    }
    "kvm/eventfd.rs" {
        [eventfd_ctx_fdget] "Of the current process; may sleep.", by ["H: MaySleep"];
        [eventfd_ctx_put] "Any context. A reference of the caller's own.",
            by ["impl Drop for EventFd"];
    }
    "kvm/sender.rs" {
        [eventfd_signal_mask]
            "May wake. Behind it may be locks of other VMs' caches, so with none held.",
            by ["H: MayWake + MayEnter<GpcLock>"];
        [idr_find] "In RCU.", by ["rcu::read_lock()"];
        [kvm_xen_rs_alloc_sender] "May sleep.", by ["H: MaySleep"];
    }
    "kvm/senders.rs" {
        [idr_for_each idr_destroy] "Nobody else changes the table.", by ["struct Senders"];
        [kvm_xen_rs_idr_take] "Nobody else changes the table.", by ["unsafe fn take"];
    }
    "kvm/xen_state.rs" {
        [idr_alloc] "May sleep. Nobody else changes the table.", by ["H: MaySleep", "XenState"];
        [idr_remove] "Nobody else changes the table.", by ["XenState"];
    }
    "kvm/mm.rs" {
        [kthread_use_mm kthread_unuse_mm]
            "May sleep. A kernel thread without an mm; the mm is kept.",
            by ["Ctx<'_, SetIrq>", "is_null()"];
    }
    "kvm/timers.rs" {
        [hrtimer_start_range_ns kvm_xen_rs_hrtimer_restart mod_timer]
            "Any context without a run queue's lock.", by ["H: MayWake"];
        [hrtimer_cancel timer_delete_sync]
            "May sleep: waits for the callback, so not in it.", by ["H: MaySleep"];
        [timer_delete nsecs_to_jiffies] "Any context.", by [];
    }
    "kvm/vcpu.rs" {
        [__kvm_vcpu_kick __kvm_irq_delivery_to_apic]
            "Any context without a run queue's lock.", by ["H: MayWake"];
        [kvm_xen_rs_req_clock_update] "Any context.", by [];
    }
    "kvm/vm.rs" {
        [kvm_make_all_cpus_request] "Interrupts are on.", by ["H: MaySleep"];
        [kvm_get_wall_clock_epoch xa_load _find_next_bit __bitmap_weight] "Any context.", by [];
    }
    "kvm/clock.rs" {
        [get_kvmclock_ns ktime_get kvm_get_monotonic_and_clockread
         kvm_xen_rs_has_constant_tsc] "Any context.", by [];
        [kvm_read_l1_tsc] "The vCPU's own task.", by ["impl OwnVcpu<'_>"];
    }
    "kvm/hypercall.rs" {
        [kvm_hv_hypercall kvm_xen_rs_hv_hypercall_enabled kvm_read_guest_virt
         kvm_vcpu_write_guest kvm_vcpu_on_spin]
            "The vCPU's own task in `KVM_RUN`, outside of the guest, in `kvm->srcu`. May sleep.",
            by ["impl OwnVcpu<'_>", "Ctx<'_, InKvmRun>"];
        [get_cs_db_l_bits get_cpl patch_hypercall]
            "The vendor module's own. The vCPU's own task, outside of the guest.",
            by ["impl OwnVcpu<'_>"];
        [kvm_lapic_hv_timer_in_use kvm_lapic_switch_to_sw_timer kvm_lapic_switch_to_hv_timer]
            "The vCPU's own task, outside of the guest.", by ["impl OwnVcpu<'_>"];
        [kvm_vcpu_halt kvm_xen_rs_set_mp_state]
            "As above, but outside of `kvm->srcu`: sleeps as long as the guest likes.",
            by ["H: MayWaitForGuest", "outside_of_srcu"];
        [kvm_xen_rs_vcpu_srcu_read_lock kvm_xen_rs_vcpu_srcu_read_unlock]
            "The section that `KVM_RUN` is in.", by ["Ctx<'_, InKvmRun>", "cx.leave()"];
    }
    "kvm/exit.rs" {
        [kvm_skip_emulated_instruction kvm_get_linear_rip kvm_is_linear_rip]
            "The vCPU's own task in `KVM_RUN`, outside of the guest.",
            by ["OwnVcpu<'_>", "Ctx<'_, InKvmRun>"];
    }
    "kvm/lifecycle.rs" {
        [kvm_gpc_init kvm_xen_rs_init_vm_locks kvm_xen_rs_init_poll_timer hrtimer_setup]
            "Nobody else has the VM or vCPU yet.",
            by ["pub(crate) unsafe fn init_vm", "pub(crate) unsafe fn init_vcpu"];
    }
    "kvm/trace.rs" {
        [kvm_xen_rs_trace_enter __traceiter_kvm_xen_hypercall kvm_xen_rs_trace_exit]
            "Any context; the probes inside of their own section.", by ["fn emit"];
    }
    "trace.rs" {
        [rust_do_trace_kvm_xen_deliver rust_do_trace_kvm_xen_poll rust_do_trace_kvm_xen_timer
         rust_do_trace_kvm_xen_refresh]
            "Any context; the VM, or the pfn cache, stays.", by ["fn emit", "Object<'a,"];
    }
    "kvm/task.rs" {
        [kvm_xen_rs_may_sleep kvm_xen_rs_may_try_lock] "Any context.", by [];
    }
    "kvm/witness.rs" {
        [kvm_xen_rs_mutex_is_held kvm_xen_rs_srcu_is_held
         kvm_xen_rs_preempt_off kvm_xen_rs_irqs_off kvm_xen_rs_in_hardirq
         kvm_xen_rs_in_softirq kvm_xen_rs_might_sleep kvm_xen_rs_contradict]
            "Any context.", by [];
    }
    "livepatch/patch.rs" {
        [klp_enable_patch] "The module is being inserted.", by ["&'static ThisModule"];
    }
    "livepatch/stragglers.rs" {
        [mutex_trylock mutex_unlock] "A task that holds no lock of KVM's.",
            by ["kvm_xen_rs_stragglers_interrupt"];
        [kvm_xen_rs_signal_straggler __kvm_vcpu_kick] "The vCPU stays.", by ["fn interrupt"];
        [kvm_xen_rs_stragglers_begin kvm_xen_rs_stragglers_end]
            "May sleep, in livepatch's callbacks.", by ["pub(super) fn begin", "pub(super) fn end"];
    }
};
