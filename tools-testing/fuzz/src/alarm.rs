// SPDX-License-Identifier: GPL-2.0
//! Gets a vCPU out of KVM_RUN that does not come back by itself.

use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::{sigaction, SaFlags, SigAction, SigEvent, SigHandler, SigSet};
use nix::sys::signal::{SigevNotify, Signal};
use nix::sys::time::TimeSpec;
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::time::ClockId;

extern "C" fn nothing(_: i32) {}

/// A timer that interrupts this process.
pub struct Alarm(Timer);

impl Alarm {
    /// Not yet running.
    pub fn new() -> Result<Self> {
        let action = SigAction::new(
            SigHandler::Handler(nothing),
            SaFlags::empty(),
            SigSet::empty(),
        );
        // SAFETY: a handler that does nothing interrupts nothing but system calls.
        unsafe { sigaction(Signal::SIGALRM, &action)? };
        let event = SigEvent::new(SigevNotify::SigevSignal {
            signal: Signal::SIGALRM,
            si_value: 0,
        });
        Ok(Self(Timer::new(ClockId::CLOCK_MONOTONIC, event)?))
    }

    /// Does `what`, which is interrupted after `limit`, and again from then on.
    pub fn within<T>(&mut self, limit: Duration, what: impl FnOnce() -> T) -> Result<T> {
        // Again: a signal that comes just before the system call would be lost on it.
        let expiration = Expiration::IntervalDelayed(TimeSpec::from(limit), TimeSpec::from(limit));
        self.0.set(expiration, TimerSetTimeFlags::empty())?;
        let result = what();
        let off = Expiration::OneShot(TimeSpec::from(Duration::ZERO));
        self.0.set(off, TimerSetTimeFlags::empty())?;
        Ok(result)
    }
}
