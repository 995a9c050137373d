// SPDX-License-Identifier: GPL-2.0

//! Xen's state of a vCPU: `vcpu->arch.xen`.
//!
//! Most of it belongs to the task whose own the vCPU is ([`OwnVcpu`]). What others look at too,
//! senders and timers, is read and written in one piece.

use super::{OwnVcpu, Vcpu};
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
    (get $($(#[$doc:meta])* $get:ident, $field:ident: $type:ty;)*) => {$(
        $(#[$doc])*
        #[inline]
        pub(crate) fn $get(self) -> $type {
            // SAFETY: The vCPU is there; the field is written in one piece, and read so.
            unsafe { (&raw const (*self.xen()).$field).read_volatile() }
        }
    )*};
    (set $($set:ident, $field:ident: $type:ty;)*) => {$(
        /// Changes what the getter of the same name says.
        #[inline]
        pub(crate) fn $set(self, value: $type) {
            // SAFETY: The vCPU is there; the field is read in one piece, and written so.
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

    accessors! {get
        /// The vector of its upcall, or 0 when the VM's is used.
        upcall_vector, upcall_vector: u8;
        /// The port of its timer, or 0 when it has none in the kernel.
        timer_virq, timer_virq: u32;
        /// When its timer fires, in system time, or 0 when it does not.
        timer_expires, timer_expires: u64;
    }
    accessors! {set
        // By the timer's callback, or by the vCPU's own task while there is none.
        set_timer_expires, timer_expires: u64;
    }
}

impl<'a> OwnVcpu<'a> {
    accessors! {get
        /// The number that the guest knows it by, or `XEN_ID_UNSET`.
        xen_id, vcpu_id: u32;
        /// Where the hypercall was made that the VMM is at work on.
        hypercall_rip, hypercall_rip: u64;
    }
    accessors! {set
        set_upcall_vector, upcall_vector: u8;
        set_timer_virq, timer_virq: u32;
        set_xen_id, vcpu_id: u32;
        set_hypercall_rip, hypercall_rip: u64;
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

    /// The accounts of its runstate.
    pub(crate) fn runstate(self) -> Runstate {
        let xen = self.xen();
        // SAFETY: The vCPU is there, and the fields are its own task's, as this is.
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
    /// [`Runstate::change`].
    ///
    /// The task may be preempted, and then does the same from within the scheduler: not in the
    /// midst of this, or the accounts would not add up any more.
    #[inline(always)]
    pub(crate) fn change_runstate(self, now: u64, state: State) {
        let xen = self.xen();
        // SAFETY: The vCPU is there, and the fields are its own task's, as this is, and are not
        // changed from within the scheduler while interrupts are off.
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
    /// [`change_runstate`](Self::change_runstate).
    pub(crate) fn update_runstate(self, update: impl FnOnce(&mut Runstate)) {
        let xen = self.xen();
        interrupts::without(|| {
            let mut runstate = self.runstate();
            update(&mut runstate);
            // SAFETY: As in `change_runstate`.
            unsafe {
                (*xen).current_runstate = runstate.state as u32;
                (*xen).runstate_entry_time = runstate.entry_time;
                (*xen).runstate_times = runstate.times;
            }
        });
    }

    /// Has time that is stolen be counted from now on.
    pub(crate) fn restart_steal(self) {
        // SAFETY: As in `change_runstate`; the field is written in one piece.
        unsafe { (&raw mut (*self.xen()).last_steal).write_volatile(run_delay()) }
    }
}

/// How long the current task has waited for a CPU since it began, in nanoseconds.
fn run_delay() -> u64 {
    // SAFETY: The task is the current one. The scheduler updates the field when it is not.
    unsafe { (*current()).sched_info.run_delay }
}
