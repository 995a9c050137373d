// SPDX-License-Identifier: GPL-2.0
//! What a machine knows about itself.

use nix::unistd::{sysconf, SysconfVar};
use std::fs;
use std::time::Duration;

/// A small file of /proc or /sys, without its last newline; empty where there is none.
pub fn read(path: &str) -> String {
    fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// Processors online, whether or not this thread may use them.
pub fn cpus() -> usize {
    let count = sysconf(SysconfVar::_NPROCESSORS_ONLN).ok().flatten();
    count.and_then(|n| n.try_into().ok()).unwrap_or(1)
}

/// Since the kernel started.
pub fn uptime() -> Duration {
    let text = read("/proc/uptime");
    let seconds = text.split(' ').next().and_then(|s| s.parse().ok());
    Duration::from_secs_f64(seconds.unwrap_or(0.0))
}
