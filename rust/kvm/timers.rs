// SPDX-License-Identifier: GPL-2.0

//! The two timers of a vCPU: the hrtimer of its singleshot timer, and the timer that ends a poll.
//!
//! Their callbacks are KVM's own functions, replaced or not, so that a timer that is set when the
//! module goes lands in C. The `kernel` crate's timers belong to objects of their own; these are
//! embedded in KVM's.

use super::{OwnVcpu, Vcpu};
use crate::{
    bindings,
    sync::{Ctx, MaySleep, MayWake},
};
use core::ptr::NonNull;
use kernel::ffi::c_ulong;

impl<'a> Vcpu<'a> {
    /// The vCPU whose singleshot timer this is.
    ///
    /// # Safety
    ///
    /// `timer` is that of a vCPU, which is not destroyed before `'a` ends.
    pub(crate) unsafe fn of_timer(timer: NonNull<bindings::hrtimer>) -> Self {
        // SAFETY: By the safety requirement the timer is that field of a vCPU.
        unsafe {
            let vcpu = kernel::container_of!(timer.as_ptr(), bindings::kvm_vcpu, arch.xen.timer);
            Self::from_raw(NonNull::new_unchecked(vcpu))
        }
    }

    /// The vCPU whose poll this timer ends.
    ///
    /// # Safety
    ///
    /// `timer` is that of a vCPU, which is not destroyed before `'a` ends.
    pub(crate) unsafe fn of_poll_timer(timer: NonNull<bindings::timer_list>) -> Self {
        // SAFETY: By the safety requirement the timer is that field of a vCPU.
        unsafe {
            let vcpu =
                kernel::container_of!(timer.as_ptr(), bindings::kvm_vcpu, arch.xen.poll_timer);
            Self::from_raw(NonNull::new_unchecked(vcpu))
        }
    }

    /// Whether the singleshot timer has fired without that its event could be delivered.
    #[inline]
    pub(crate) fn timer_pending(self) -> bool {
        // SAFETY: The field is a word, read in one piece.
        unsafe { (&raw const (*self.xen()).timer_pending.counter).read_volatile() > 0 }
    }

    /// Notes that the singleshot timer's event is to be delivered, or is no more.
    #[inline]
    pub(crate) fn set_timer_pending(self, pending: bool) {
        // SAFETY: The field is a word, written in one piece. Its writers exclude each other: the
        // callback that sets it, and the vCPU's task that clears it while the timer is stopped
        // or has fired.
        unsafe { (&raw mut (*self.xen()).timer_pending.counter).write_volatile(pending.into()) }
    }
}

impl OwnVcpu<'_> {
    fn timer(self) -> *mut bindings::hrtimer {
        // SAFETY: Only the address of the field is taken, in a vCPU that is there.
        unsafe { &raw mut (*self.xen()).timer }
    }

    /// Has the singleshot timer fire at `at`, in nanoseconds of `CLOCK_MONOTONIC`, in hard
    /// interrupt context.
    pub(crate) fn start_timer<H: MayWake>(self, _cx: &mut Ctx<'_, H>, at: i64) {
        // SAFETY: The timer is initialized with the vCPU.
        unsafe {
            bindings::hrtimer_start_range_ns(
                self.timer(),
                at,
                0,
                bindings::hrtimer_mode_HRTIMER_MODE_ABS_HARD,
            )
        }
    }

    /// Has the singleshot timer fire when it was to before it was cancelled.
    pub(crate) fn restart_timer<H: MayWake>(self, _cx: &mut Ctx<'_, H>) {
        // SAFETY: The timer is initialized with the vCPU.
        unsafe { bindings::kvm_xen_rs_hrtimer_restart(self.timer()) }
    }

    /// Stops the singleshot timer, and waits for its callback if that is running. May sleep.
    pub(crate) fn cancel_timer<H: MaySleep>(self, _cx: &mut Ctx<'_, H>) {
        // SAFETY: The timer is initialized with the vCPU.
        unsafe { bindings::hrtimer_cancel(self.timer()) };
    }

    fn poll_timer(self) -> *mut bindings::timer_list {
        // SAFETY: Only the address of the field is taken, in a vCPU that is there.
        unsafe { &raw mut (*self.xen()).poll_timer }
    }

    /// Ends the poll after `ns` nanoseconds, to the next jiffy.
    pub(crate) fn start_poll_timer<H: MayWake>(self, _cx: &mut Ctx<'_, H>, ns: u64) {
        // SAFETY: The timer is initialized with the vCPU; the rest is arithmetic.
        unsafe {
            let now = (&raw const bindings::jiffies).read_volatile();
            let expires = now.wrapping_add(bindings::nsecs_to_jiffies(ns) as c_ulong);
            bindings::mod_timer(self.poll_timer(), expires);
        }
    }

    /// Forgets to end the poll.
    pub(crate) fn stop_poll_timer(self) {
        // SAFETY: The timer is initialized with the vCPU.
        unsafe { bindings::timer_delete(self.poll_timer()) };
    }

    /// Stops the timer that ends a poll, and waits for its callback if that is running. May sleep.
    pub(crate) fn cancel_poll_timer<H: MaySleep>(self, _cx: &mut Ctx<'_, H>) {
        // SAFETY: The timer is initialized with the vCPU.
        unsafe { bindings::timer_delete_sync(self.poll_timer()) };
    }
}
