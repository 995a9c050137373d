// SPDX-License-Identifier: GPL-2.0
//! The trace itself, in an instance of the test's own.

use harness::check::eventually;
use harness::outcome::Outcome;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

/// Where tracefs is in the machine.
pub const TRACEFS: &str = "/sys/kernel/tracing";

const INSTANCE: &str = "/sys/kernel/tracing/instances/kvm-xen-top-test";

/// An instance with all of the module's tracepoints on.
pub struct Trace;

impl Trace {
    /// Makes it.
    pub fn new() -> Outcome<Self> {
        fs::create_dir(INSTANCE)?;
        let trace = Trace;
        trace.enable()?;
        Ok(trace)
    }

    /// Turns the tracepoints on, when the module has come again.
    pub fn enable(&self) -> Outcome {
        Ok(fs::write(path("events/kvm_xen_rs/enable"), "1")?)
    }

    /// Adds a trigger to an event, by its system and name.
    pub fn trigger(&self, event: &str, trigger: &str) -> Outcome {
        // To truncate it would remove the triggers that are there.
        let file = path(&format!("events/{event}/trigger"));
        let mut file = OpenOptions::new().write(true).open(file)?;
        Ok(file.write_all(trigger.as_bytes())?)
    }

    /// The histograms of an event.
    pub fn hist(&self, event: &str) -> Outcome<String> {
        Ok(fs::read_to_string(path(&format!("events/{event}/hist")))?)
    }

    /// Waits until something has been traced.
    pub fn fills(&self) -> Outcome {
        eventually("events to be traced", || {
            self.lines().is_ok_and(|lines| lines.len() > 100)
        })
    }

    /// What was traced until now.
    pub fn lines(&self) -> Outcome<Vec<String>> {
        let text = fs::read_to_string(path("trace"))?;
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Ok(lines.map(|line| line.trim().to_owned()).collect())
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let _ = fs::remove_dir(INSTANCE);
    }
}

fn path(file: &str) -> String {
    let path = Path::new(INSTANCE).join(file);
    path.to_string_lossy().into_owned()
}
