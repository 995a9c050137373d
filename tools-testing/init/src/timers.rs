// SPDX-License-Identifier: GPL-2.0
//! A timer on each processor of the guest, set again whenever it has come.

use crate::{channel, ipi, system};
use anyhow::{Context, Result};
use nix::sys::time::TimeSpec;
use nix::time::{clock_gettime, clock_nanosleep, ClockId, ClockNanosleepFlags};
use protocol::{GuestEvent, Timer};
use std::fs;
use std::thread;
use std::time::Duration;

/// Starts them.
pub fn start(period: Duration) -> Result<()> {
    // A timer may else be given to a processor that is busy, whatever set it.
    let path = "/proc/sys/kernel/timer_migration";
    fs::write(path, "0").context(path)?;
    for cpu in 0..system::cpus() {
        thread::spawn(move || {
            if let Err(error) = run(cpu, period) {
                let reason = format!("the timers of processor {cpu}: {error:#}");
                channel::send(&GuestEvent::Failed { reason });
            }
        });
    }
    Ok(())
}

/// The guest's monotonic clock.
pub fn now() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_MONOTONIC)?.into())
}

fn run(cpu: usize, period: Duration) -> Result<()> {
    ipi::pin(cpu)?;
    for number in 1.. {
        let due = now()? + period;
        let flags = ClockNanosleepFlags::TIMER_ABSTIME;
        clock_nanosleep(ClockId::CLOCK_MONOTONIC, flags, &TimeSpec::from(due))?;
        channel::send(&GuestEvent::Timer(Timer {
            cpu,
            number,
            due_ns: due.as_nanos() as u64,
            came_ns: now()?.as_nanos() as u64,
        }));
    }
    Ok(())
}
