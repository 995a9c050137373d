// SPDX-License-Identifier: GPL-2.0
//! How often functions of the kernel are called.

use std::fs;

use anyhow::{bail, Context, Result};

const PROBES: &str = "/sys/kernel/tracing/kprobe_events";
const ENABLE: &str = "/sys/kernel/tracing/events/kprobes/enable";
const HITS: &str = "/sys/kernel/tracing/kprobe_profile";

/// Kprobes at the beginning of functions, until [`remove`](Probes::remove).
pub struct Probes(usize);

impl Probes {
    /// At these, as kprobes name them: `MODULE:FUNCTION` in a module.
    pub fn new(functions: &[&str]) -> Result<Self> {
        let line = |(nr, function)| format!("p:f{nr} {function}\n");
        let lines: String = functions.iter().enumerate().map(line).collect();
        fs::write(PROBES, &lines).with_context(|| format!("{PROBES}: {lines}"))?;
        fs::write(ENABLE, "1").context(ENABLE)?;
        Ok(Self(functions.len()))
    }

    /// How often each was called.
    pub fn hits(&self) -> Result<Vec<u64>> {
        let text = fs::read_to_string(HITS).context(HITS)?;
        // A line of each: its name, and how often it was called and missed.
        let hits = |line: &str| line.split_whitespace().nth(1)?.parse().ok();
        let hits: Vec<u64> = text.lines().filter_map(hits).collect();
        if hits.len() != self.0 {
            bail!("{HITS}: {text}");
        }
        Ok(hits)
    }

    /// Removes them.
    pub fn remove(self) -> Result<()> {
        fs::write(ENABLE, "0").context(ENABLE)?;
        fs::write(PROBES, "").context(PROBES)
    }
}
