// SPDX-License-Identifier: GPL-2.0
//! C takes more time for stolen than went by.

use super::Case;
use crate::observe::IN_BOTH_LAYOUTS;
use crate::op::*;
use crate::trace::Kind;

/// A runstate in memory that makes sense in both layouts, as the time since a VM began is short,
/// and in C not: there some time in it is less than nothing. An adjustment has opened the account
/// of a vCPU whose thread has waited before.
pub(super) fn explains(case: &Case) -> bool {
    let (Some(c), Some(rust)) = (case.difference.c, case.difference.rust) else {
        return false;
    };
    let adjusts = |op: &Op| matches!(op, Op::SetVcpu(_, VcpuAttr::RunstateAdjust(_)));
    c.kind == Kind::GuestRunstate
        && rust.kind == c.kind
        && rust.at == c.at
        && rust.value == c.value | IN_BOTH_LAYOUTS
        && case.so_far().iter().any(adjusts)
}

#[cfg(test)]
mod tests {
    use super::super::of_difference;
    use super::*;
    use crate::trace::{Item, AFTER};

    #[test]
    fn more_is_stolen_than_went_by_after_an_adjustment() {
        let runstate = |value| Item::new(AFTER, Kind::GuestRunstate, 0x5000, value);
        let adjusted = |ops: &[Op], c, rust| {
            let (c, rust) = (Some(runstate(c)), Some(runstate(rust)));
            of_difference(ops, c, rust, explains)
        };
        let ops = [Op::SetVcpu(0, VcpuAttr::RunstateAdjust([3, 1, 1, 0, 0, 0]))];
        assert!(adjusted(&ops, 3, 3 | IN_BOTH_LAYOUTS));
        assert!(!adjusted(&ops, 3 | IN_BOTH_LAYOUTS, 3));
        assert!(!adjusted(&ops, 2, 3 | IN_BOTH_LAYOUTS));
        assert!(!adjusted(&[], 3, 3 | IN_BOTH_LAYOUTS));
    }
}
