// SPDX-License-Identifier: GPL-2.0
//! Counting how often functions of the kernel are entered, by kprobe events.
//!
//! A probe of a function sits where ftrace enters it, which is before the livepatch takes the call
//! elsewhere: it counts entries on either side, and who is in charge tells whose they are. A
//! function of our module can't have a kprobe event of its own, as rustc leaves no place for ftrace
//! in it. A probe costs while it is set and nothing otherwise.

use anyhow::{Context, Result};
use protocol::Probe;
use std::fs::{self, OpenOptions};
use std::io::Write;

const TRACING: &str = "/sys/kernel/tracing";
const GROUP: &str = "kvm_xen";
const EXPEDITED: &str = "/sys/kernel/rcu_expedited";

/// Probes of these functions; they go when this is dropped.
pub struct Probes {
    functions: Vec<String>,
}

impl Probes {
    /// Sets a probe at each of these functions of `kvm.ko`.
    pub fn of_kvm(functions: &[String]) -> Result<Self> {
        let place = |function: &String| (function.clone(), format!("kvm:{function}"));
        Self::at(functions.iter().map(place))
    }

    /// Sets a probe at each of these functions, by their names and where kprobes find them.
    pub fn at(functions: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        // Hits are counted whether or not the trace buffer takes them.
        fs::write(format!("{TRACING}/tracing_on"), "0").context("tracing_on")?;
        let _hurry = Hurry::begin();
        let mut probes = Probes {
            functions: Vec::new(),
        };
        let mut is_any_set = false;
        for (function, place) in functions {
            // The kernel refuses some places; then there is no count, and that is told.
            is_any_set |= command(&format!("p:{GROUP}/{function} {place}")).is_ok();
            probes.functions.push(function);
        }
        if is_any_set {
            enable(true).context("enabling probes")?;
        }
        Ok(probes)
    }

    /// The counts since the probes were set.
    pub fn read(&self) -> Result<Vec<Probe>> {
        let path = format!("{TRACING}/kprobe_profile");
        let profile = fs::read_to_string(&path).context(path)?;
        let functions = self.functions.iter();
        Ok(functions
            .map(|function| Probe {
                function: function.clone(),
                entries: entries(&profile, function),
            })
            .collect())
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        let _hurry = Hurry::begin();
        let _ = enable(false);
        // One that was refused is not there.
        for function in &self.functions {
            let _ = command(&format!("-:{GROUP}/{function}"));
        }
    }
}

/// While this is there, the kernel does not wait for the ends of RCU's grace periods but brings them
/// about. Probes that come and go wait for such.
struct Hurry;

impl Hurry {
    fn begin() -> Self {
        let _ = fs::write(EXPEDITED, "1");
        Hurry
    }
}

impl Drop for Hurry {
    fn drop(&mut self) {
        let _ = fs::write(EXPEDITED, "0");
    }
}

fn enable(on: bool) -> std::io::Result<()> {
    let word = if on { "1" } else { "0" };
    fs::write(format!("{TRACING}/events/{GROUP}/enable"), word)
}

fn command(line: &str) -> std::io::Result<()> {
    let path = format!("{TRACING}/kprobe_events");
    let mut file = OpenOptions::new().append(true).open(path)?;
    file.write_all(line.as_bytes())
}

/// What was counted between two readings of the same probes.
pub fn between(before: &[Probe], after: &[Probe]) -> Vec<Probe> {
    let both = before.iter().zip(after);
    both.map(|(before, after)| Probe {
        function: after.function.clone(),
        entries: after
            .entries
            .zip(before.entries)
            .map(|(now, then)| now - then),
    })
    .collect()
}

/// One line of the profile is an event's name, its hits and its misses. A miss is an entry that
/// could not be told from within another probe, and an entry nevertheless.
fn entries(profile: &str, event: &str) -> Option<u64> {
    profile.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        if words.next()? != event {
            return None;
        }
        let hit: u64 = words.next()?.parse().ok()?;
        let missed: u64 = words.next()?.parse().ok()?;
        Some(hit + missed)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_before_does_not_count() {
        let probe = |function: &str, entries| Probe {
            function: function.into(),
            entries,
        };
        let before = [probe("a", Some(7)), probe("b", Some(5)), probe("c", None)];
        let after = [probe("a", Some(9)), probe("b", Some(5)), probe("c", None)];
        let counted = between(&before, &after);
        let counted: Vec<_> = counted.iter().map(|probe| probe.entries).collect();
        assert_eq!(counted, [Some(2), Some(0), None]);
    }

    #[test]
    fn profiles_are_read() {
        let profile = "  evtchn_set_fn                  12               0\n  \
                       kvm_xen_hypercall              7               1\n";
        assert_eq!(entries(profile, "evtchn_set_fn"), Some(12));
        assert_eq!(entries(profile, "kvm_xen_hypercall"), Some(8));
        assert_eq!(entries(profile, "kvm_xen"), None);
    }
}
