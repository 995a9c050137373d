// SPDX-License-Identifier: GPL-2.0
//! Results against older ones.

use super::results::Results;
use crate::table::number;
use anyhow::{bail, Result};
use protocol::Server;

/// A difference of fewer parts of the cost than this is none.
const PARTS: u64 = 200;

/// The paths on which Rust has become slower by more than runs differ.
pub fn slower(old: &Results, new: &Results) -> Result<Vec<String>> {
    if (&old.kernel, &old.machine) != (&new.kernel, &new.machine) {
        bail!(
            "the old results are of {} on {}, the new ones of {} on {}",
            old.kernel,
            old.machine,
            new.kernel,
            new.machine
        );
    }
    let mut slower = Vec::new();
    for path in &new.paths {
        let before = old.path(&path.name);
        let before = before.and_then(|path| path.costs.get(&Server::Rust));
        let (Some(before), Some(after)) = (before, path.costs.get(&Server::Rust)) else {
            continue;
        };
        let allowed = (before.width().max(after.width())).max(before.min / PARTS);
        if after.min > before.min + allowed {
            let more = (after.min - before.min) as f64 * 100.0 / before.min.max(1) as f64;
            let (before, after) = (number(before.min), number(after.min));
            slower.push(format!("{}: {before} -> {after} (+{more:.1} %)", path.name));
        }
    }
    Ok(slower)
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::results;
    use super::slower;

    #[test]
    fn five_percent_are_found() {
        let old = results(100, 300, &[1000, 1003]);
        let slow = slower(&old, &results(100, 300, &[1050, 1052])).unwrap();
        assert_eq!(slow, ["path: 1,000 -> 1,050 (+5.0 %)"]);
    }

    #[test]
    fn what_runs_differ_by_is_no_difference() {
        let old = results(100, 300, &[1000, 1030]);
        assert!(slower(&old, &results(100, 300, &[1029]))
            .unwrap()
            .is_empty());
        assert!(slower(&old, &old).unwrap().is_empty());
    }

    #[test]
    fn another_kernel_is_no_measure() {
        let old = results(100, 300, &[1000]);
        let mut new = old.clone();
        new.kernel = "7.3".into();
        assert!(slower(&old, &new).is_err());
    }
}
