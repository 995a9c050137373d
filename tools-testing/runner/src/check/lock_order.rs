// SPDX-License-Identifier: GPL-2.0
//! The declared lock order against what lockdep has seen of it.

use super::machines::{DEBUG_RUST, LOCK_ORDER};
use crate::cli::Common;
use crate::paths::Paths;
use crate::report::Verdict;
use anyhow::{Context, Result};
use lockgraph::compare::Comparison;
use lockgraph::lockdep::Observed;
use lockgraph::picture;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// Where what lockdep has seen is kept, among the logs of its boot.
const LOCKDEP: &str = "lockdep";

/// So many of the declared edges lockdep has to have seen, in half of the selftests. In both halves it
/// saw three times as many: of fewer, it did not look.
const FLOOR: usize = 6;

/// Keeps what lockdep has seen; fails where nobody has declared an order that is in it, or where that
/// is next to nothing.
pub fn verdict(lockdep: &[String], logs: &Path) -> Verdict {
    let text = lockdep.join("\n") + "\n";
    let observed = fs::write(logs.join(LOCKDEP), &text)
        .context("keeping what lockdep saw")
        .and_then(|()| Observed::parse(&text));
    let comparison = match observed {
        Ok(observed) => Comparison::new(&observed),
        Err(error) => return Verdict::NotOk(format!("{error:#}"), Vec::new()),
    };
    let seen = comparison.seen.len();
    let unexplained = comparison.unexplained.first();
    match comparison.undeclared.first() {
        None if unexplained.is_some() => Verdict::NotOk(
            format!(
                "lockdep saw {} beside a level, which lockgraph/src/neighbours.rs does not explain",
                unexplained.map_or("a lock", String::as_str)
            ),
            comparison.to_string().lines().map(str::to_owned).collect(),
        ),
        None if seen < FLOOR => Verdict::NotOk(
            format!("lockdep saw {seen} of the declared edges, {FLOOR} at least were to be seen"),
            comparison.to_string().lines().map(str::to_owned).collect(),
        ),
        None => Verdict::Ok,
        Some(edge) => Verdict::NotOk(
            format!("lockdep saw {edge}, which rust/sync/order.rs does not declare"),
            comparison.to_string().lines().map(str::to_owned).collect(),
        ),
    }
}

/// `lockgraph`: runs the tests on the debug kernel, and draws what was declared and seen.
pub fn run(common: &Common) -> Result<bool> {
    let paths = Paths::new(common)?;
    let files = DEBUG_RUST.map(|machine| paths.logs.join(machine).join(LOCKDEP));
    // Those of another run would be drawn if this one does not get so far.
    for file in &files {
        match fs::remove_file(file) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| file.display().to_string())
            }
            _ => {}
        }
    }
    if !super::run(common, &[LOCK_ORDER.to_owned()], None, false)? {
        return Ok(false);
    }
    let mut observed = Observed::default();
    for file in &files {
        let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        observed.add(Observed::parse(&text)?);
    }
    let comparison = Comparison::new(&observed);
    let svg = paths.source.join("Documentation/lock-order.svg");
    fs::write(&svg, picture::draw(Some(&comparison))).with_context(|| svg.display().to_string())?;
    println!("{comparison}\nDrawn: {}", svg.display());
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_seen_is_no_order() {
        let logs = tempfile::tempdir().unwrap();
        let lines = ["all lock classes:", "01 FD:    2 BD:  300 +.+.: fs_reclaim"];
        let verdict = verdict(&lines.map(str::to_owned), logs.path());
        let Verdict::NotOk(reason, _) = verdict else {
            panic!("{verdict:?}");
        };
        assert!(reason.starts_with("lockdep saw 0 of"), "{reason}");
    }

    #[test]
    fn a_lock_that_nobody_explains_is_named() {
        let logs = tempfile::tempdir().unwrap();
        let lines = [
            "all lock classes:",
            "01 FD:    2 BD:    1 +.+.: &vcpu->mutex",
            " -> [02] &vcpu->new_lock",
        ];
        let verdict = verdict(&lines.map(str::to_owned), logs.path());
        let Verdict::NotOk(reason, _) = verdict else {
            panic!("{verdict:?}");
        };
        assert!(reason.contains("&vcpu->new_lock"), "{reason}");
    }
}
