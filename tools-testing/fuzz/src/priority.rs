// SPDX-License-Identifier: GPL-2.0
//! Real-time priorities. A worker is not preempted: the guest is told of that, and it
//! happens by chance. The watch comes before them.

use std::fs;

use anyhow::{Context, Result};
use harness::host::preempt_rt;
use nix::errno::Errno;

/// Threads of the kernel by which alarms come under `PREEMPT_RT`, with the lowest real-time
/// priority: a worker whose guest waits for its alarm would never let them run.
const TIMERS: &str = "ktimers/";

/// Of who runs sequences.
pub const WORKER: i32 = 1;
/// Of who watches them.
pub const WATCH: i32 = 2;

/// How many of so many workers may run at once. Under `PREEMPT_RT` only one: all that ends a grace
/// period is done by threads there, which several that never sleep at the same time would not let
/// run.
pub fn at_once(workers: usize) -> usize {
    match preempt_rt() {
        true => 1,
        false => workers,
    }
}

/// Lets real-time tasks have all of the machine's time: of these, and nothing but them,
/// there are enough to keep it busy. Where timers have threads, these come before them.
pub fn unlimited() -> Result<()> {
    fs::write("/proc/sys/kernel/sched_rt_runtime_us", "-1")
        .context("lifting the limit on real-time tasks")?;
    for entry in fs::read_dir("/proc").context("/proc")?.flatten() {
        let comm = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        let pid = entry.file_name().to_string_lossy().parse();
        if let (true, Ok(pid)) = (comm.starts_with(TIMERS), pid) {
            give(pid, WATCH)?;
        }
    }
    Ok(())
}

/// Takes a priority, which children inherit.
pub fn take(value: i32) -> Result<()> {
    give(0, value)
}

/// Gives a task a priority; 0 is the own one.
fn give(task: libc::pid_t, value: i32) -> Result<()> {
    let parameter = libc::sched_param {
        sched_priority: value,
    };
    // SAFETY: the parameter outlives the call, which affects nothing but when the task runs.
    let result = unsafe { libc::sched_setscheduler(task, libc::SCHED_FIFO, &parameter) };
    Errno::result(result).context("giving a task a real-time priority")?;
    Ok(())
}
