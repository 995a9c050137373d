// SPDX-License-Identifier: GPL-2.0

//! What is traced, by C's numbers.

use super::Argument;
use crate::bindings;

/// What became of an event.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Delivered {
    /// The port was pending already.
    Coalesced = bindings::KVM_XEN_RS_COALESCED,
    /// The port is pending, and masked.
    Masked = bindings::KVM_XEN_RS_MASKED,
    /// The port is pending. The vCPU knows of its word already.
    Raised = bindings::KVM_XEN_RS_RAISED,
    /// As `Raised`, and the vCPU is woken, or kicked out of the guest.
    Kick = bindings::KVM_XEN_RS_KICK,
    /// As `Raised`, and the vCPU is interrupted by its own vector.
    Interrupt = bindings::KVM_XEN_RS_INTERRUPT,
    /// Nothing has happened, as a page is away, a lock can't be had, or too many vCPUs poll: it is
    /// tried again where that can be waited for.
    NotNow = bindings::KVM_XEN_RS_NOT_NOW,
    /// Nothing has happened, and won't.
    Failed = bindings::KVM_XEN_RS_FAILED,
}

/// What becomes of a poll.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Poll {
    /// It begins.
    Begins = bindings::KVM_XEN_RS_POLL_BEGINS,
    /// It ends at once: a port is pending.
    Pending = bindings::KVM_XEN_RS_POLL_PENDING,
    /// It ends, by an event.
    Woken = bindings::KVM_XEN_RS_POLL_WOKEN,
    /// It ends, as its time is over.
    TimedOut = bindings::KVM_XEN_RS_POLL_TIMED_OUT,
    /// It ends, as there is something else for the vCPU to do.
    Other = bindings::KVM_XEN_RS_POLL_OTHER,
}

/// What becomes of a singleshot timer that has fired.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Timer {
    /// Its event is delivered at once, or has failed for good.
    InTime = bindings::KVM_XEN_RS_TIMER_IN_TIME,
    /// Its event is left to the vCPU.
    Deferred = bindings::KVM_XEN_RS_TIMER_DEFERRED,
    /// The vCPU has delivered the event.
    Later = bindings::KVM_XEN_RS_TIMER_LATER,
    /// The vCPU could not deliver the event, and has set the timer again.
    Again = bindings::KVM_XEN_RS_TIMER_AGAIN,
    /// The guest has no such port: there is no event.
    NoPort = bindings::KVM_XEN_RS_TIMER_NO_PORT,
}

/// In the place of a port that is polled for: several.
pub(crate) const SEVERAL: u32 = bindings::KVM_XEN_RS_SEVERAL;

macro_rules! arguments_by_number {
    ($($kind:ty)*) => {$(
        // SAFETY: It is no pointer.
        unsafe impl Argument for $kind {
            type Raw = u32;

            #[inline(always)]
            fn into_raw(self) -> u32 {
                self as u32
            }
        }
    )*};
}

arguments_by_number!(Delivered Poll Timer);
