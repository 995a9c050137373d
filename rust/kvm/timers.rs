// SPDX-License-Identifier: GPL-2.0

//! The two timers of a vCPU: the hrtimer of its singleshot timer, and the timer that ends a poll.
//!
//! Their callbacks are KVM's own functions, replaced or not, so that a timer that is set when the
//! module goes lands in C. The `kernel` crate's timers belong to objects of their own; these are
//! embedded in KVM's.

use super::{OwnVcpu, Vcpu};
use crate::{
    bindings,
    object::{container_of, field},
    sync::{Ctx, MaySleep, MayWake},
};
use core::ops::Deref;
use kernel::ffi::c_ulong;

/// The vCPU whose singleshot timer this is.
#[inline(always)]
pub(crate) fn vcpu_of(timer: *mut bindings::hrtimer) -> *mut bindings::kvm_vcpu {
    container_of!(timer, bindings::kvm_vcpu, arch.xen.timer)
}

/// The vCPU whose poll this timer ends.
#[inline(always)]
pub(crate) fn vcpu_of_poll(timer: *mut bindings::timer_list) -> *mut bindings::kvm_vcpu {
    container_of!(timer, bindings::kvm_vcpu, arch.xen.poll_timer)
}

impl Vcpu<'_> {
    /// Whether the singleshot timer has fired and its event is yet to be delivered.
    pub(crate) fn timer_pending(self) -> bool {
        field!(self.xen(), timer_pending.counter).read_once() > 0
    }
}

/// What there is to note of a vCPU's singleshot timer, for those who may: its callback, and the vCPU's
/// own task.
///
/// # Invariants
///
/// The caller is the callback; or the task that a vCPU belongs to, and the timer is stopped, has fired,
/// or is about to be started.
#[derive(Clone, Copy)]
pub(crate) struct TimerState<'a>(Vcpu<'a>);

impl<'a> TimerState<'a> {
    /// That of the vCPU whose timer has fired.
    ///
    /// # Safety
    ///
    /// The caller is the timer's callback.
    #[inline(always)]
    pub(crate) const unsafe fn in_callback(vcpu: Vcpu<'a>) -> Self {
        // INVARIANT: By the safety requirement.
        Self(vcpu)
    }

    /// Notes whether the timer's event is yet to be delivered.
    pub(crate) fn set_pending(self, pending: bool) {
        let counter = field!(self.0.xen(), timer_pending.counter);
        // SAFETY: By the invariant its writers exclude each other. Others only ask whether it is above 0.
        unsafe { counter.write_once(pending.into()) }
    }

    /// Notes when the timer fires, in system time, or that it does not: 0.
    pub(crate) fn set_expires(self, expires: u64) {
        let field = field!(self.0.xen(), timer_expires);
        // SAFETY: By the invariant its writers exclude each other. Others take it for what it is.
        unsafe { field.write_once(expires) }
    }
}

impl<'a> Deref for TimerState<'a> {
    type Target = Vcpu<'a>;

    #[inline(always)]
    fn deref(&self) -> &Vcpu<'a> {
        &self.0
    }
}

impl<'a> OwnVcpu<'a> {
    /// What there is to note of its singleshot timer, which is stopped, has fired, or is about to be
    /// started.
    #[inline(always)]
    pub(crate) fn timer_state(self) -> TimerState<'a> {
        // INVARIANT: The vCPU is this task's own.
        TimerState(*self)
    }
}

impl OwnVcpu<'_> {
    fn timer(self) -> *mut bindings::hrtimer {
        field!(self.xen(), timer).as_ptr()
    }

    /// Starts the singleshot timer, which fires at `at`, in nanoseconds of `CLOCK_MONOTONIC`, in
    /// hard interrupt context.
    pub(crate) fn start_timer<H: MayWake>(self, _cx: &mut Ctx<'_, H>, at: i64) {
        // SAFETY: The timer is initialized with the vCPU, as one that fires in hard interrupt context;
        // the lock of its CPU is what protects it against its callback and others.
        unsafe {
            bindings::hrtimer_start_range_ns(
                self.timer(),
                at,
                0,
                bindings::hrtimer_mode_HRTIMER_MODE_ABS_HARD,
            )
        }
    }

    /// Starts the singleshot timer again, which fires when it was to before it was cancelled.
    pub(crate) fn restart_timer<H: MayWake>(self, _cx: &mut Ctx<'_, H>) {
        // SAFETY: As in `start_timer`. It reads when the timer was to fire before it has that lock: this
        // is the vCPU's own task, and no other sets it.
        unsafe { bindings::kvm_xen_rs_hrtimer_restart(self.timer()) }
    }

    /// Stops the singleshot timer, and waits for its callback if that is running. May sleep.
    pub(crate) fn cancel_timer<H: MaySleep>(self, _cx: &mut Ctx<'_, H>) {
        // SAFETY: As in `start_timer`. The context may sleep, so that it is not in the callback, nor
        // holds what that waits for.
        unsafe { bindings::hrtimer_cancel(self.timer()) };
    }

    fn poll_timer(self) -> *mut bindings::timer_list {
        field!(self.xen(), poll_timer).as_ptr()
    }

    /// Ends the poll after `ns` nanoseconds, to the next jiffy.
    pub(crate) fn start_poll_timer<H: MayWake>(self, _cx: &mut Ctx<'_, H>, ns: u64) {
        let now = &raw const bindings::jiffies;
        // SAFETY: The variable is the kernel's. It is a word, which the timekeeper writes in one piece.
        let now = unsafe { now.read_volatile() };
        // SAFETY: It only calculates.
        let span = unsafe { bindings::nsecs_to_jiffies(ns) } as c_ulong;
        // SAFETY: The timer is initialized with the vCPU; the lock of its CPU is what protects it.
        unsafe { bindings::mod_timer(self.poll_timer(), now.wrapping_add(span)) };
    }

    /// Stops the timer that ends a poll, without waiting for its callback; returns whether it has not
    /// fired.
    pub(crate) fn stop_poll_timer(self) -> bool {
        // SAFETY: As for `mod_timer()` above.
        unsafe { bindings::timer_delete(self.poll_timer()) != 0 }
    }

    /// Stops the timer that ends a poll, and waits for its callback if that is running. May sleep.
    pub(crate) fn cancel_poll_timer<H: MaySleep>(self, _cx: &mut Ctx<'_, H>) {
        // SAFETY: As for `mod_timer()` above. The context may sleep, so that it is not in the callback, nor
        // holds what that waits for.
        unsafe { bindings::timer_delete_sync(self.poll_timer()) };
    }
}
