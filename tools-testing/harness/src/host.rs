// SPDX-License-Identifier: GPL-2.0
//! The kernel that this runs on, and its CPUs.

use std::fs;
use std::sync::LazyLock;

use nix::errno::Errno;

use super::outcome::Outcome;

/// Whether the kernel has `PREEMPT_RT`.
pub fn preempt_rt() -> bool {
    static IS: LazyLock<bool> = LazyLock::new(|| {
        fs::read_to_string("/proc/version").is_ok_and(|version| version.contains("PREEMPT_RT"))
    });
    *IS
}

/// Pins the calling thread to a CPU.
pub fn pin(cpu: usize) -> Outcome {
    // SAFETY: an empty set, then a bit in it; the call only reads it.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &set)
    };
    Errno::result(result)?;
    Ok(())
}

/// Has the calling thread run before all that are not of the real-time class.
pub fn go_first() -> Outcome {
    let priority = libc::sched_param { sched_priority: 1 };
    // SAFETY: The call only reads the structure.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &priority) };
    Errno::result(result)?;
    Ok(())
}
