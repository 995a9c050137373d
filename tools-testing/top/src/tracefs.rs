// SPDX-License-Identifier: GPL-2.0
//! An instance of tracefs, with histograms of the module's tracepoints.

use crate::counts::Counts;
use crate::events::{EVENTS, SYSTEM, WHOSE};
use crate::hist;
use anyhow::{bail, Context, Result};
use nix::unistd::Uid;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process;

/// Where tracefs may be.
const MOUNTS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// What an instance of ours is called, before the number of the process that it is of.
const NAME: &str = "kvm-xen-top.";

/// An event that comes when a module's memory is freed, and so has no task to wait for.
const KEEPER: &str = "events/module/module_free/trigger";

/// An instance. It is removed when this is dropped.
pub struct Instance(PathBuf);

impl Instance {
    /// Makes one, with tracepoints on from here on.
    ///
    /// The module can't be removed meanwhile, only handed back to C: the kernel leaves histograms
    /// behind when the module of their event goes.
    pub fn new() -> Result<Self> {
        let tracefs = find()?;
        clear(&tracefs);
        let instance = Instance(
            tracefs
                .join("instances")
                .join(format!("{NAME}{}", process::id())),
        );
        fs::create_dir(&instance.0).with_context(|| instance.0.display().to_string())?;
        // First: it has to outlast the others.
        let keep = format!("disable_event:{SYSTEM}:{}", EVENTS[0].name);
        instance.write(KEEPER, &keep)?;
        for event in &EVENTS {
            let trigger = format!("events/{SYSTEM}/{}/trigger", event.name);
            instance.write(&trigger, event.trigger)?;
            if let Some((_, span)) = event.span {
                instance.write(&trigger, span)?;
            }
            instance.write(&trigger, WHOSE)?;
        }
        Ok(instance)
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.0.join(file);
        // To truncate it would remove the triggers that are there.
        let file = OpenOptions::new().write(true).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("writing {text:?} to {}", path.display()))
    }

    /// What was counted until now.
    pub fn read(&self) -> Result<Counts> {
        let mut counts = Counts::default();
        for event in &EVENTS {
            let path = self.0.join("events").join(SYSTEM);
            let path = path.join(event.name).join("hist");
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            counts.add(event, &hist::parse(&text));
        }
        Ok(counts)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.0) {
            eprintln!("kvm-xen-top: removing {}: {error}", self.0.display());
        }
    }
}

/// Where tracefs is, if all is there that is wanted; else what is wrong, and what to do.
fn find() -> Result<PathBuf> {
    if !Uid::effective().is_root() {
        bail!("tracefs is root's: run kvm-xen-top as root");
    }
    let mut mounts = MOUNTS.iter().map(Path::new);
    let Some(tracefs) = mounts.find(|path| path.join("instances").is_dir()) else {
        bail!("no tracefs: mount -t tracefs tracefs {}", MOUNTS[0]);
    };
    let events = tracefs.join("events");
    if !events.join(SYSTEM).is_dir() {
        bail!("the module kvm_xen_rs is not inserted, or is one without tracepoints: insmod kvm_xen_rs.ko");
    }
    let hist = events.join(SYSTEM).join(EVENTS[0].name).join("hist");
    if !hist.exists() {
        bail!("the kernel has no histograms of events: take one with CONFIG_HIST_TRIGGERS, or read the trace itself (Documentation/tracing.rst)");
    }
    Ok(tracefs.to_owned())
}

/// Removes what processes that were killed have left.
fn clear(tracefs: &Path) {
    let instances = fs::read_dir(tracefs.join("instances"));
    for instance in instances.into_iter().flatten().flatten() {
        let name = instance.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.strip_prefix(NAME)) else {
            continue;
        };
        let is_gone = match fs::metadata(Path::new("/proc").join(pid)) {
            Ok(_) => false,
            Err(error) => error.kind() == ErrorKind::NotFound,
        };
        if is_gone {
            let _ = fs::remove_dir(instance.path());
        }
    }
}
