// SPDX-License-Identifier: GPL-2.0
//! Whether lockdep is there, and on.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

const STATS: &str = "/proc/lockdep_stats";
const CLASSES: &str = "/proc/lockdep";

/// Whether the kernel has lockdep.
pub fn is_there() -> bool {
    Path::new(STATS).exists()
}

/// Whether it has reported nothing yet: it switches itself off when it does.
pub fn is_on() -> Result<bool> {
    let stats = fs::read_to_string(STATS).with_context(|| format!("can't read {STATS}"))?;
    let value = stats
        .lines()
        .find_map(|line| line.trim_start().strip_prefix("debug_locks:"))
        .with_context(|| format!("{STATS} lacks debug_locks"))?;
    Ok(value.trim() == "1")
}

/// Whether a lock of this class was ever taken.
pub fn knows(class: &str) -> Result<bool> {
    let classes = fs::read_to_string(CLASSES).with_context(|| format!("can't read {CLASSES}"))?;
    let name = |line: &str| {
        line.rsplit_once(": ")
            .is_some_and(|(_, name)| name == class)
    };
    Ok(classes.lines().any(name))
}
