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

/// Time that a hypervisor has stolen from each processor.
pub fn stolen() -> Vec<Duration> {
    stolen_in(&read("/proc/stat"), clock_ticks())
}

/// From the lines "cpuN user nice system idle iowait irq softirq steal …".
fn stolen_in(stat: &str, hz: f64) -> Vec<Duration> {
    const STEAL: usize = 8;
    let lines = stat.lines().filter(|line| line.starts_with("cpu"));
    lines
        .skip(1)
        .map(|line| {
            line.split_whitespace()
                .nth(STEAL)
                .and_then(|ticks| ticks.parse().ok())
        })
        .map(|ticks: Option<f64>| Duration::from_secs_f64(ticks.unwrap_or(0.0) / hz))
        .collect()
}

fn clock_ticks() -> f64 {
    let hz = sysconf(SysconfVar::CLK_TCK).ok().flatten();
    hz.map_or(100.0, |hz| hz as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stolen_time_is_read() {
        let stat = "cpu  1 2 3 4 5 6 7 30 0 0\ncpu0 1 2 3 4 5 6 7 10 0 0\ncpu1 1 2 3 4 5 6 7 20 0 0\nintr 9";
        let stolen = stolen_in(stat, 100.0);
        assert_eq!(stolen, [100, 200].map(Duration::from_millis));
    }
}
