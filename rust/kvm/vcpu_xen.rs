// SPDX-License-Identifier: GPL-2.0

//! Xen's state of a vCPU: `vcpu->arch.xen`.
//!
//! Most of it belongs to the task that holds `vcpu->mutex`. What others look at too, senders and
//! timers, is read and written in one piece.

use super::Vcpu;
use crate::{
    abi::{
        pvclock::TimeInfo,
        runstate::{Runstate, Spent, State},
    },
    bindings,
    sync::{
        current::current,
        gpc::{Bytes, Gpc},
        interrupts,
    },
};
use core::ptr::NonNull;

/// Accessors of fields that are a word at most.
macro_rules! accessors {
    ($($(#[$doc:meta])* $get:ident, $set:ident, $field:ident: $type:ty;)*) => {$(
        $(#[$doc])*
        #[inline]
        pub(crate) fn $get(self) -> $type {
            // SAFETY: The vCPU is there; the field is read in one piece.
            unsafe { (&raw const (*self.xen()).$field).read_volatile() }
        }

        /// Changes what the getter of the same name says.
        #[inline]
        pub(crate) fn $set(self, value: $type) {
            // SAFETY: The vCPU is there; the field is written in one piece.
            unsafe { (&raw mut (*self.xen()).$field).write_volatile(value) }
        }
    )*};
}

impl<'a> Vcpu<'a> {
    /// Xen's part of the vCPU, as C has it.
    #[inline(always)]
    pub(super) fn xen(self) -> *mut bindings::kvm_vcpu_xen {
        // SAFETY: Only the address of the field is taken, in a vCPU that is there.
        unsafe { &raw mut (*self.as_raw()).arch.xen }
    }

    accessors! {
        /// The vector of its upcall, or 0 when the VM's is used.
        upcall_vector, set_upcall_vector, upcall_vector: u8;
        /// The number that the guest knows it by, or `XEN_ID_UNSET`.
        xen_id, set_xen_id, vcpu_id: u32;
        /// The port of its timer, or 0 when it has none in the kernel.
        timer_virq, set_timer_virq, timer_virq: u32;
        /// When its timer fires, in system time, or 0 when it does not.
        timer_expires, set_timer_expires, timer_expires: u64;
        /// Where the hypercall was made that the VMM is at work on.
        hypercall_rip, set_hypercall_rip, hypercall_rip: u64;
        /// How long its task had waited for a CPU when that was last accounted for.
        last_steal, set_last_steal, last_steal: u64;
    }

    /// The cache of its `pvclock_vcpu_time_info`.
    #[inline]
    pub(crate) fn time_info(self) -> Gpc<'a, TimeInfo> {
        // SAFETY: The cache is initialized with the vCPU, and is only used for this structure.
        unsafe {
            Gpc::from_raw(NonNull::new_unchecked(
                &raw mut (*self.xen()).vcpu_time_info_cache,
            ))
        }
    }

    /// The cache of its runstate, of the part in the first page.
    #[inline]
    pub(crate) fn runstate_info(self) -> Gpc<'a, Bytes> {
        // SAFETY: The cache is initialized with the vCPU.
        unsafe {
            Gpc::from_raw(NonNull::new_unchecked(
                &raw mut (*self.xen()).runstate_cache,
            ))
        }
    }

    /// The cache of its runstate, of the part in the second page.
    #[inline]
    pub(crate) fn runstate_info_rest(self) -> Gpc<'a, Bytes> {
        // SAFETY: The cache is initialized with the vCPU.
        unsafe {
            Gpc::from_raw(NonNull::new_unchecked(
                &raw mut (*self.xen()).runstate2_cache,
            ))
        }
    }

    /// The accounts of its runstate. For the task that holds `vcpu->mutex`.
    pub(crate) fn runstate(self) -> Runstate {
        let xen = self.xen();
        // SAFETY: The vCPU is there, and the fields are this task's.
        let (state, entry_time, times) = unsafe {
            (
                (*xen).current_runstate,
                (*xen).runstate_entry_time,
                (*xen).runstate_times,
            )
        };
        Runstate {
            // Only states get there, from here as from C.
            state: State::from_u64(state.into()).unwrap_or(State::Offline),
            entry_time,
            times,
        }
    }

    /// Ends the state that it is in at `now`, and begins another; see
    /// [`Runstate::change`]. For the task that holds `vcpu->mutex`.
    ///
    /// That may be preempted, and then does the same from within the scheduler: not in the midst
    /// of this, or the accounts would not add up any more.
    #[inline(always)]
    pub(crate) fn change_runstate(self, now: u64, state: State) {
        let xen = self.xen();
        // SAFETY: The vCPU is there, and the fields are this task's.
        interrupts::without(|| unsafe {
            let waited = run_delay();
            let stolen = waited.wrapping_sub((*xen).last_steal) as i64;
            (*xen).last_steal = waited;
            // Only states get there, from here as from C.
            let old = State::from_u64((*xen).current_runstate.into()).unwrap_or(State::Offline);
            if let Some(spent) = Spent::new(old, (*xen).runstate_entry_time, now, stolen) {
                let times = &mut (*xen).runstate_times;
                let runnable = &mut times[State::Runnable as usize];
                *runnable = runnable.wrapping_add(spent.stolen);
                let account = &mut times[spent.state as usize];
                *account = account.wrapping_add(spent.time);
                (*xen).runstate_entry_time = now;
            }
            (*xen).current_runstate = state as u32;
        });
    }

    /// Changes the accounts of its runstate, not in parts as
    /// [`change_runstate`](Self::change_runstate). For the task that holds `vcpu->mutex`.
    pub(crate) fn update_runstate(self, update: impl FnOnce(&mut Runstate)) {
        let xen = self.xen();
        interrupts::without(|| {
            let mut runstate = self.runstate();
            update(&mut runstate);
            // SAFETY: The vCPU is there, and the fields are this task's.
            unsafe {
                (*xen).current_runstate = runstate.state as u32;
                (*xen).runstate_entry_time = runstate.entry_time;
                (*xen).runstate_times = runstate.times;
            }
        });
    }
}

/// How long the current task has waited for a CPU since it began, in nanoseconds.
pub(crate) fn run_delay() -> u64 {
    // SAFETY: The task is the current one. The scheduler updates the field when it is not.
    unsafe { (*current()).sched_info.run_delay }
}
