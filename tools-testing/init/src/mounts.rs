// SPDX-License-Identifier: GPL-2.0
//! The file systems that everything else takes for granted.

use anyhow::{Context, Result};
use nix::mount::{mount, MsFlags};
use std::fs;

const MOUNTS: [(&str, &str); 5] = [
    ("devtmpfs", "/dev"),
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("tmpfs", "/tmp"),
    ("tmpfs", "/run"),
];

/// Those that only some kernels have, and whose users say so when they miss them.
const OPTIONAL: [(&str, &str); 2] = [
    ("debugfs", "/sys/kernel/debug"),
    ("tracefs", "/sys/kernel/tracing"),
];

/// Mounts all of them.
pub fn mount_all() -> Result<()> {
    for (kind, path) in MOUNTS {
        fs::create_dir_all(path).context(path)?;
        mount_one(kind, path).with_context(|| format!("mounting {path}"))?;
    }
    for (kind, path) in OPTIONAL {
        // tracefs wants its own mount, as /sys/kernel/debug/tracing is on its way out.
        let _ = mount_one(kind, path);
    }
    Ok(())
}

fn mount_one(kind: &str, path: &str) -> nix::Result<()> {
    mount(Some(kind), path, Some(kind), MsFlags::empty(), None::<&str>)
}
