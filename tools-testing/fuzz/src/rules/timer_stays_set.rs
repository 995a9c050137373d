// SPDX-License-Identifier: GPL-2.0
//! C forgets a timer whose event it could not deliver.

use harness::abi::sched::{SET_TIMER_OP, VCPU_OP};

use super::Case;
use crate::model::shared_info_away;
use crate::op::*;
use crate::trace::{Item, Kind};

/// A timer was set, shared_info was away then or later, and C has forgotten the timer, while
/// Rust still has it; or its event has come in the end. Then there are bits in guest memory that C
/// has not set, or a vCPU was woken that sleeps on in C until it is interrupted.
pub(super) fn explains(case: &Case) -> bool {
    let (c, Some(rust)) = (case.difference.c, case.difference.rust) else {
        return false;
    };
    let explained = match (c, rust.kind) {
        (Some(c), Kind::Expires) => c.kind == Kind::Expires && c.value == 0,
        (Some(c), Kind::Exit) => {
            c.kind == Kind::Result && c.value as i64 == -i64::from(libc::EINTR)
        }
        // A pending bit, or that of its word beside the upcall's.
        (c, Kind::Memory) => {
            let here = |c: &Item| c.kind == Kind::Memory && c.at == rust.at;
            let before = c.filter(here).map_or(0, |c| c.value);
            before & !rust.value == 0 && (before ^ rust.value).count_ones() <= 2
        }
        _ => false,
    };
    explained && undelivered_timer(case)
}

/// Whether a timer may have fired while shared_info was away.
fn undelivered_timer(case: &Case) -> bool {
    let ops = case.so_far();
    let away = shared_info_away(ops, case.c);
    let set = ops.iter().position(sets_timer);
    set.is_some_and(|set| away[set..].contains(&true))
}

fn sets_timer(op: &Op) -> bool {
    match op {
        Op::FireTimer(..) => true,
        Op::SetVcpu(_, VcpuAttr::Timer(port, _, expires)) => *port != 0 && *expires != 0,
        Op::Call(_, call) => matches!(call.number & 0xffff_ffff, SET_TIMER_OP | VCPU_OP),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{explain, of_difference};
    use super::*;
    use crate::trace::AFTER;

    fn timer(op: u16, value: u64) -> Item {
        Item::new(op, Kind::Expires, 0, value)
    }

    fn explained(ops: Vec<Op>, c: Item, rust: Item) -> Option<&'static str> {
        let explain = |case: &Case| explain(case).map(|rule| rule.name);
        of_difference(&ops, Some(c), Some(rust), explain)
    }

    #[test]
    fn a_timer_stays_set_where_it_could_not_fire() {
        let ops = vec![Op::AddVcpu(0), Op::FireTimer(0, 5)];
        let explained =
            |ops: &[Op], c, rust| explained(ops.to_vec(), timer(AFTER, c), timer(AFTER, rust));
        assert_eq!(explained(&ops, 0, 1), Some("timer_stays_set"));
        // Not the other way round, nor without a timer.
        assert_eq!(explained(&ops, 1, 0), None);
        assert_eq!(explained(&ops[..1], 0, 1), None);
        // Nor where it could be delivered.
        let mut placed = ops.clone();
        placed.insert(0, Op::SetVm(VmAttr::SharedInfo(Gpa::Area(0, 0))));
        assert_eq!(explained(&placed, 0, 1), None);
        placed.push(Op::Page(0, Page::Unmap));
        assert_eq!(explained(&placed, 0, 1), Some("timer_stays_set"));
    }

    #[test]
    fn a_timer_that_could_not_fire_wakes_later() {
        let ops = vec![
            Op::AddVcpu(0),
            Op::FireTimer(0, 5),
            Op::SetVm(VmAttr::SharedInfo(Gpa::Area(0, 0))),
        ];
        let item = |kind, value: i64| Item::new(AFTER, kind, 0, value as u64);
        let (slept, woken) = (item(Kind::Result, -4), item(Kind::Exit, 2));
        assert_eq!(
            explained(ops.clone(), slept, woken),
            Some("timer_stays_set")
        );
        // Not the other way round, nor without a timer.
        assert_eq!(explained(ops.clone(), woken, slept), None);
        assert_eq!(explained(ops[2..].to_vec(), slept, woken), None);
        // Its bits come with it, and none goes.
        let (none, some) = (item(Kind::Memory, 1), item(Kind::Memory, 3));
        assert_eq!(explained(ops.clone(), none, some), Some("timer_stays_set"));
        assert_eq!(explained(ops.clone(), some, none), None);
        let more = item(Kind::Memory, 0xff);
        assert_eq!(explained(ops.clone(), none, more), None);
    }
}
