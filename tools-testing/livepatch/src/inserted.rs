// SPDX-License-Identifier: GPL-2.0
//! A livepatch of any name, inserted until it is removed.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::{klog, kmod};
use anyhow::{bail, Context, Result};

/// A transition that takes longer than this is stuck.
const LIMIT: Duration = Duration::from_secs(60);

/// A livepatch that is inserted.
pub struct Inserted {
    name: String,
}

impl Inserted {
    /// Inserts the module in `file`, and waits until each task runs its code.
    pub fn insert(file: &str) -> Result<Self> {
        let inserted = Self::begin(file)?;
        inserted.settle()?;
        Ok(inserted)
    }

    /// Inserts the module in `file`; the transition to it may go on for as long as a task is in a
    /// function that it replaces.
    pub fn begin(file: &str) -> Result<Self> {
        let name = kmod::name_of(file);
        klog::mark(&format!("change to {name}"));
        kmod::load(file)?;
        Ok(Self { name })
    }

    /// Whether the transition to it goes on.
    pub fn is_in_transition(&self) -> bool {
        self.flag("transition") == "1"
    }

    /// Waits until each task runs its code.
    pub fn settle(&self) -> Result<()> {
        wait("the transition", || self.flag("transition") == "0")?;
        if self.flag("enabled") != "1" || self.flag("kvm/patched") != "1" {
            bail!("{} does not replace functions of kvm.ko", self.name);
        }
        klog::mark(&format!("side {}", self.name));
        Ok(())
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
