// SPDX-License-Identifier: GPL-2.0
//! Sums by VM and vCPU.

use crate::events::{Event, REFRESH_FAILED, WAITED};
use crate::hist::Hist;
use std::collections::BTreeMap;

/// A VM, by its address, or a vCPU of it, by the VMM's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Who {
    /// The VM.
    pub vm: u64,
    /// The vCPU; none where it is the VM as a whole.
    pub vcpu: Option<u32>,
}

/// How often each thing has happened, by its name.
pub type Row = BTreeMap<&'static str, u64>;

/// What all tracepoints have counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// By whom it is of.
    pub rows: BTreeMap<Who, Row>,
    /// The processes of VMs.
    pub pids: BTreeMap<u64, i32>,
    /// How often there was no room to count.
    pub dropped: u64,
}

impl Counts {
    /// Adds the histograms of a tracepoint.
    pub fn add(&mut self, event: &Event, hist: &Hist) {
        self.dropped += hist.dropped;
        let (field, names) = event.what;
        for entry in &hist.entries {
            let Some(vm) = entry.get("vm").and_then(|vm| u64::try_from(vm).ok()) else {
                continue;
            };
            if let Some(pid) = entry.get("pid").and_then(|pid| i32::try_from(pid).ok()) {
                self.pids.insert(vm, pid);
                continue;
            }
            let (Some(what), Some(hits)) = (entry.get(field), entry.get("hitcount")) else {
                continue;
            };
            let what = usize::try_from(what).ok().and_then(|what| names.get(what));
            let vcpu = entry.get("vcpu_id").and_then(|id| u32::try_from(id).ok());
            let row = self.rows.entry(Who { vm, vcpu }).or_default();
            let mut add = |name, times: i128| {
                *row.entry(name).or_default() += u64::try_from(times).unwrap_or(0);
            };
            // Only errors have other numbers.
            add(what.copied().unwrap_or(REFRESH_FAILED), hits);
            if let Some(waited) = entry.get(WAITED) {
                add(WAITED, waited);
            }
        }
    }

    /// What has happened since `earlier`, without rows and things of which there is nothing.
    pub fn since(&self, earlier: &Counts) -> Counts {
        let mut counts = self.clone();
        counts.dropped = self.dropped.saturating_sub(earlier.dropped);
        for (who, row) in &mut counts.rows {
            let before = earlier.rows.get(who);
            for (name, times) in row.iter_mut() {
                let before = before.and_then(|row| row.get(name)).copied();
                *times = times.saturating_sub(before.unwrap_or(0));
            }
            row.retain(|_, times| *times > 0);
        }
        counts.rows.retain(|_, row| !row.is_empty());
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::EVENTS;
    use crate::hist::parse;

    fn counts(deliver: &str, refresh: &str) -> Counts {
        let mut counts = Counts::default();
        counts.add(&EVENTS[0], &parse(deliver));
        counts.add(&EVENTS[3], &parse(refresh));
        counts
    }

    const VCPU: Who = Who {
        vm: 7,
        vcpu: Some(2),
    };

    #[test]
    fn sums_by_vcpu_and_by_vm() {
        let counts = counts(
            "{ vm: 7, vcpu_id: 2, outcome: 3 } hitcount: 5 waited: 1\n\
             { vm: 7, vcpu_id: 2, outcome: 0 } hitcount: 6 waited: 0\n\
             { vm: 7, pid: 99 } hitcount: 11\nDropped: 2",
            "{ vm: 7, error: 0 } hitcount: 1\n{ vm: 7, error: -14 } hitcount: 2\n\
             { vm: 7, error: -22 } hitcount: 3",
        );
        assert_eq!((counts.dropped, counts.pids[&7]), (2, 99));
        let row = &counts.rows[&VCPU];
        assert_eq!((row["kick"], row["coalesced"], row["waited"]), (5, 6, 1));
        let row = &counts.rows[&Who { vm: 7, vcpu: None }];
        assert_eq!((row["refreshed"], row[REFRESH_FAILED]), (1, 5));
    }

    #[test]
    fn only_what_is_new() {
        let line = |hits| format!("{{ vm: 7, vcpu_id: 2, outcome: 1 }} hitcount: {hits} waited: 0");
        let (first, then) = (counts(&line(3), ""), counts(&line(10), ""));
        assert_eq!(then.since(&first).rows[&VCPU], Row::from([("masked", 7)]));
        assert!(then.since(&then).rows.is_empty());
    }
}
