// SPDX-License-Identifier: GPL-2.0
//! C has all clocks written anew when shared_info is placed.

use super::Case;
use crate::op::*;
use crate::trace::Kind;

/// C wrote a clock when a vCPU ran, as shared_info had been placed before. By the way it looked the
/// page up that the clock is in, so that an event could get there at once.
pub(super) fn explains(case: &Case) -> bool {
    let Some(c) = case.difference.c else {
        return false;
    };
    let written = match c.kind {
        Kind::Pvclock => case.difference.rust.is_some_and(|rust| rust.value == 0),
        Kind::Memory => in_vcpu_info(case, c.at),
        _ => false,
    };
    written && case.so_far().iter().any(writes_wall_clock)
}

/// Whether an offset in the area is in a page that a vcpu_info was placed in.
fn in_vcpu_info(case: &Case, at: u32) -> bool {
    case.so_far().iter().any(|op| {
        let page = match op {
            Op::SetVcpu(_, VcpuAttr::VcpuInfo(Gpa::Area(page, _) | Gpa::Elsewhere(page, _)))
            | Op::SetVcpu(_, VcpuAttr::VcpuInfoHva(Hva::Area(page, _))) => *page,
            _ => return false,
        };
        at / 4096 == u32::from(page)
    })
}

fn writes_wall_clock(op: &Op) -> bool {
    matches!(
        op,
        Op::SetVm(VmAttr::SharedInfo(_) | VmAttr::SharedInfoHva(_) | VmAttr::LongMode(_))
    )
}

#[cfg(test)]
mod tests {
    use super::super::of_difference;
    use super::*;
    use crate::trace::{Item, AFTER};

    #[test]
    fn a_clock_is_written_where_shared_info_was_placed() {
        let item = |kind, at, value| Item::new(AFTER, kind, at, value);
        let explained =
            |ops: &[Op], c: Item, rust: Option<Item>| of_difference(ops, Some(c), rust, explains);
        let ops = [
            Op::SetVcpu(0, VcpuAttr::VcpuInfo(Gpa::Area(2, 0))),
            Op::SetVm(VmAttr::LongMode(1)),
        ];
        let clock = |value| item(Kind::Pvclock, 0x2020, value);
        assert!(explained(&ops, clock(7), Some(clock(0))));
        assert!(!explained(&ops, clock(7), Some(clock(8))));
        assert!(!explained(&ops[..1], clock(7), Some(clock(0))));
        assert!(explained(&ops, item(Kind::Memory, 0x2000, 1), None));
        assert!(!explained(&ops, item(Kind::Memory, 0x3000, 1), None));
    }
}
