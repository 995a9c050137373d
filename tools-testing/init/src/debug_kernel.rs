// SPDX-License-Identifier: GPL-2.0
//! What a debug kernel knows when the tests are over.

use crate::channel;
use anyhow::{bail, Context, Result};
use protocol::Event;
use std::fs;
use std::thread::sleep;
use std::time::Duration;

const KMEMLEAK: &str = "/sys/kernel/debug/kmemleak";

/// kmemleak suspects nothing that is younger.
const KMEMLEAK_AGE: Duration = Duration::from_secs(5);

/// Fails where lockdep has turned itself off, as it does after its first report, or when one of its
/// tables is full.
pub fn lockdep() -> Result<()> {
    let path = "/proc/lockdep_stats";
    let stats = fs::read_to_string(path).context(path)?;
    let mut lines = stats.lines();
    let value = lines
        .find_map(|line| line.trim().strip_prefix("debug_locks:"))
        .with_context(|| format!("{path} has no debug_locks"))?;
    match value.trim() {
        "1" => Ok(()),
        _ => {
            tell(&stats);
            bail!("lockdep has turned itself off before the end, and saw nothing from then on")
        }
    }
}

/// Fails where memory is leaked. What looks so in the first scan may have changed in the second:
/// only then kmemleak tells of it.
pub fn kmemleak() -> Result<()> {
    // The thread that scans by itself would tell it to the log, too.
    write("scan=off")?;
    write("scan")?;
    sleep(KMEMLEAK_AGE);
    write("scan")?;
    let found = fs::read_to_string(KMEMLEAK).context(KMEMLEAK)?;
    let count = found.matches("unreferenced object").count();
    if count > 0 {
        tell(&found);
        bail!("kmemleak found {count} unreferenced objects");
    }
    Ok(())
}

/// Tells the lines of a file.
pub fn read(path: &str) -> Result<()> {
    let text = fs::read_to_string(path).context(path.to_owned())?;
    tell(&text);
    Ok(())
}

fn write(command: &str) -> Result<()> {
    fs::write(KMEMLEAK, command).with_context(|| format!("writing {command} to {KMEMLEAK}"))
}

fn tell(text: &str) {
    for line in text.lines() {
        channel::send(&Event::Output { line: line.into() });
    }
}
