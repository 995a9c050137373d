// SPDX-License-Identifier: GPL-2.0
//! Real-time priorities. A worker is not preempted: the guest is told of that, and it
//! happens by chance. The watch comes before them.

use anyhow::{Context, Result};
use nix::errno::Errno;

/// Of who runs sequences.
pub const WORKER: i32 = 1;
/// Of who watches them.
pub const WATCH: i32 = 2;

/// Lets real-time tasks have all of the machine's time: of these, and nothing but them,
/// there are enough to keep it busy.
pub fn unlimited() -> Result<()> {
    std::fs::write("/proc/sys/kernel/sched_rt_runtime_us", "-1")
        .context("lifting the limit on real-time tasks")
}

/// Takes a priority, which children inherit.
pub fn take(value: i32) -> Result<()> {
    let parameter = libc::sched_param {
        sched_priority: value,
    };
    // SAFETY: the parameter outlives the call, which affects nothing but when we run.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &parameter) };
    Errno::result(result).context("taking a real-time priority")?;
    Ok(())
}
