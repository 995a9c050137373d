// SPDX-License-Identifier: GPL-2.0
//! Who serves: C, C behind a livepatch, or Rust.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};
use livepatch::{klog, kmod};

/// A transition that takes longer than this is stuck.
const LIMIT: Duration = Duration::from_secs(60);

/// A livepatch that is inserted.
pub struct Inserted {
    name: String,
}

impl Inserted {
    /// Inserts the module in `file`, and waits until each task runs its code.
    pub fn insert(file: &str) -> Result<Self> {
        let name = kmod::name_of(file);
        klog::mark(&format!("change to {name}"));
        kmod::load(file)?;
        let inserted = Self { name };
        wait("the transition", || inserted.flag("transition") == "0")?;
        if inserted.flag("enabled") != "1" || inserted.flag("kvm/patched") != "1" {
            bail!("{file} does not replace functions of kvm.ko");
        }
        klog::mark(&format!("side {}", inserted.name));
        Ok(inserted)
    }

    /// Hands back to C, and removes the module.
    pub fn remove(self) -> Result<()> {
        let dir = Path::new("/sys/kernel/livepatch").join(&self.name);
        klog::mark("change to C");
        fs::write(dir.join("enabled"), "0").context("disabling the livepatch")?;
        wait("the transition to C", || !dir.exists())?;
        kmod::unload(&self.name)?;
        klog::mark("side C");
        Ok(())
    }

    fn flag(&self, flag: &str) -> String {
        let path = format!("/sys/kernel/livepatch/{}/{flag}", self.name);
        let text = fs::read_to_string(path).unwrap_or_default();
        text.trim().to_owned()
    }
}

fn wait(what: &str, done: impl Fn() -> bool) -> Result<()> {
    let begun = Instant::now();
    while !done() {
        if begun.elapsed() > LIMIT {
            bail!("{what} has not ended after {} s", LIMIT.as_secs());
        }
        sleep(Duration::from_micros(100));
    }
    Ok(())
}
