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

/// How often a span of time was at most a power of two of nanoseconds, and not the one below, by the
/// exponent.
pub type Spans = BTreeMap<u32, u64>;

/// What `percent` of a hundred spans do not exceed, in nanoseconds: up to twice as long as it was.
pub fn quantile(spans: &Spans, percent: u64) -> u64 {
    let all: u64 = spans.values().sum();
    let mut seen = 0;
    let reaches = |&(_, &times): &(&u32, &u64)| {
        seen += times;
        seen * 100 >= all * percent
    };
    let found = spans.iter().find(reaches);
    found.map_or(0, |(&exponent, _)| {
        1_u64.checked_shl(exponent).unwrap_or(u64::MAX)
    })
}

/// What all tracepoints have counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// By whom it is of.
    pub rows: BTreeMap<Who, Row>,
    /// Spans by their name, and whom they are of.
    pub spans: BTreeMap<(Who, &'static str), Spans>,
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
            let vcpu = entry.get("vcpu_id").and_then(|id| u32::try_from(id).ok());
            let who = Who { vm, vcpu };
            if let (Some(ns), Some((name, _))) = (entry.get("ns"), event.span) {
                let exponent = u32::try_from(ns).unwrap_or(u32::MAX);
                let times = entry
                    .get("hitcount")
                    .and_then(|hits| u64::try_from(hits).ok());
                let spans = self.spans.entry((who, name)).or_default();
                *spans.entry(exponent).or_default() += times.unwrap_or(0);
                continue;
            }
            let (Some(what), Some(hits)) = (entry.get(field), entry.get("hitcount")) else {
                continue;
            };
            let what = usize::try_from(what).ok().and_then(|what| names.get(what));
            let row = self.rows.entry(who).or_default();
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
        subtract(&mut counts.rows, &earlier.rows);
        subtract(&mut counts.spans, &earlier.spans);
        counts
    }
}

/// Takes from each number the one that was there before, and what is 0 out.
fn subtract<K: Ord, N: Ord>(
    counts: &mut BTreeMap<K, BTreeMap<N, u64>>,
    earlier: &BTreeMap<K, BTreeMap<N, u64>>,
) {
    for (key, row) in counts.iter_mut() {
        let before = earlier.get(key);
        for (name, times) in row.iter_mut() {
            let before = before.and_then(|row| row.get(name)).copied();
            *times = times.saturating_sub(before.unwrap_or(0));
        }
        row.retain(|_, times| *times > 0);
    }
    counts.retain(|_, row| !row.is_empty());
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
    fn spans_are_no_counts() {
        let mut counts = Counts::default();
        let line = |exponent| format!("{{ vm: 7, vcpu_id: 2, ns: ~ 2^{exponent} }} hitcount: 3\n");
        counts.add(&EVENTS[1], &parse(&(line(10) + &line(17))));
        assert!(counts.rows.is_empty());
        let spans = &counts.spans[&(VCPU, crate::events::WOKEN_AFTER)];
        assert_eq!(*spans, Spans::from([(10, 3), (17, 3)]));
        assert!(counts.since(&counts).spans.is_empty());
    }

    #[test]
    fn quantiles() {
        let spans = Spans::from([(10, 50), (11, 48), (20, 2)]);
        assert_eq!(
            [50, 51, 98, 99].map(|of| quantile(&spans, of)),
            [1024, 2048, 2048, 1 << 20]
        );
        assert_eq!(quantile(&Spans::new(), 50), 0);
    }

    #[test]
    fn only_what_is_new() {
        let line = |hits| format!("{{ vm: 7, vcpu_id: 2, outcome: 1 }} hitcount: {hits} waited: 0");
        let (first, then) = (counts(&line(3), ""), counts(&line(10), ""));
        assert_eq!(then.since(&first).rows[&VCPU], Row::from([("masked", 7)]));
        assert!(then.since(&then).rows.is_empty());
    }
}
