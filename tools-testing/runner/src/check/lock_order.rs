// SPDX-License-Identifier: GPL-2.0
//! The declared lock order against what lockdep has seen of it.

use super::machines::DEBUG_RUST;
use crate::paths::Paths;
use crate::report::Verdict;
use anyhow::Context;
use lockgraph::compare::Comparison;
use lockgraph::lockdep::Observed;
use std::fs;
use std::path::{Path, PathBuf};

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
    let reason = if let Some(edge) = comparison.undeclared.first() {
        format!("lockdep saw {edge}, which rust/sync/order.rs does not declare")
    } else if let Some(class) = comparison.unexplained.first() {
        format!("lockdep saw {class} beside a level, which lockgraph/src/neighbours.rs does not explain")
    } else if seen < FLOOR {
        format!("lockdep saw {seen} of the declared edges, {FLOOR} at least were to be seen")
    } else {
        return Verdict::Ok;
    };
    let lines = comparison.to_string();
    Verdict::NotOk(reason, lines.lines().map(str::to_owned).collect())
}

/// What lockdep has seen, as kept for each machine that it looked in.
pub fn kept(paths: &Paths) -> [PathBuf; DEBUG_RUST.len()] {
    DEBUG_RUST.map(|machine| paths.logs.join(machine).join(LOCKDEP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_told() {
        for (outer, inner, expected) in [
            ("fs_reclaim", "&rq->__lock", "lockdep saw 0 of"),
            (
                "&vcpu->mutex",
                "&vcpu->new_lock",
                "lockdep saw &vcpu->new_lock",
            ),
            (
                "&kvm->srcu",
                "&kvm->lock",
                "lockdep saw kvm->srcu (read) > kvm->lock",
            ),
        ] {
            let logs = tempfile::tempdir().unwrap();
            let lines = [
                "all lock classes:",
                &format!("01 FD:    2 BD:    1 +.+.: {outer}"),
                &format!(" -> [02] {inner}"),
            ];
            let verdict = verdict(&lines.map(str::to_owned), logs.path());
            let Verdict::NotOk(reason, _) = verdict else {
                panic!("{verdict:?}");
            };
            assert!(reason.starts_with(expected), "{reason}");
        }
    }
}
