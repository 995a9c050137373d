// SPDX-License-Identifier: GPL-2.0
//! Where Rust is better than C (Documentation/c-bugs.rst): what may differ, and
//! how. Each rule looks at the first difference of two traces, as what follows
//! may well be its consequence, and at what the sequence did before it.

use harness::abi::sched::{SET_TIMER_OP, VCPU_OP};
use harness::kernel::{has, Has};

use crate::model::shared_info_away;
use crate::observe::IN_BOTH_LAYOUTS;
use crate::op::*;
use crate::trace::{Difference, Item, Kind};

/// A difference that may be.
pub struct Rule {
    /// Its name, for the count.
    pub name: &'static str,
    /// Why Rust is right.
    pub reason: &'static str,
    /// What kernels have where C is right too, if some do: there it is no reason.
    pub until: Option<Has>,
    /// Whether this is it.
    pub explains: fn(&Case) -> bool,
}

/// A sequence whose traces differ.
pub struct Case<'a> {
    /// The sequence.
    pub program: &'a Program,
    /// What C showed.
    pub c: &'a [Item],
    /// What Rust showed.
    pub rust: &'a [Item],
    /// Where they part.
    pub difference: Difference,
}

impl Case<'_> {
    /// The operations up to the one after which the difference was seen, that included.
    pub fn so_far(&self) -> &[Op] {
        let end = usize::from(self.difference.op()).saturating_add(1);
        &self.program.ops[..end.min(self.program.ops.len())]
    }
}

/// All of them.
pub const RULES: &[Rule] = &[
    Rule {
        name: "timer_stays_set",
        reason: "C forgets a timer whose event it could not deliver",
        until: None,
        explains: timer_stays_set,
    },
    Rule {
        name: "clocks_left_alone",
        reason: "C has all clocks written anew when shared_info is placed",
        until: Some(Has::SharedInfoLeavesClock),
        explains: clocks_left_alone,
    },
    Rule {
        name: "stolen_time_is_bounded",
        reason: "C takes more time for stolen than went by",
        until: Some(Has::RunstateClockBackwards),
        explains: stolen_time_is_bounded,
    },
];

/// C wrote a clock when a vCPU ran, as shared_info had been placed before. By the way it looked the
/// page up that the clock is in, so that an event could get there at once.
fn clocks_left_alone(case: &Case) -> bool {
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

/// A runstate in memory that makes sense in both layouts, as the time since a VM began is short,
/// and in C not: there some time in it is less than nothing. An adjustment has opened the account
/// of a vCPU whose thread has waited before.
fn stolen_time_is_bounded(case: &Case) -> bool {
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

/// A timer was set, shared_info was away then or later, and C has forgotten the timer, while
/// Rust still has it; or its event has come in the end. Then there are bits in guest memory that C
/// has not set, or a vCPU was woken that sleeps on in C until it is interrupted.
fn timer_stays_set(case: &Case) -> bool {
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

/// The rule that explains a difference.
pub fn explain(case: &Case) -> Option<&'static Rule> {
    let holds = |rule: &&Rule| !rule.until.is_some_and(has);
    RULES
        .iter()
        .filter(holds)
        .find(|rule| (rule.explains)(case))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::AFTER;

    fn timer(op: u16, value: u64) -> Item {
        Item {
            op,
            kind: Kind::Expires,
            at: 0,
            value,
        }
    }

    fn explained(ops: Vec<Op>, c: Item, rust: Item) -> Option<&'static str> {
        let program = Program {
            irqchip: Irqchip::Kernel,
            ops,
        };
        let case = Case {
            program: &program,
            c: &[c],
            rust: &[rust],
            difference: Difference {
                c: Some(c),
                rust: Some(rust),
            },
        };
        explain(&case).map(|rule| rule.name)
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
        let item = |kind, value: i64| Item {
            op: AFTER,
            kind,
            at: 0,
            value: value as u64,
        };
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

    #[test]
    fn a_clock_is_written_where_shared_info_was_placed() {
        let item = |kind, at, value| Item {
            op: AFTER,
            kind,
            at,
            value,
        };
        let explained = |ops: &[Op], c: Item, rust: Option<Item>| {
            let program = Program {
                irqchip: Irqchip::Kernel,
                ops: ops.to_vec(),
            };
            clocks_left_alone(&Case {
                program: &program,
                c: &[c],
                rust: &[],
                difference: Difference { c: Some(c), rust },
            })
        };
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

    #[test]
    fn more_is_stolen_than_went_by_after_an_adjustment() {
        let runstate = |value| Item {
            op: AFTER,
            kind: Kind::GuestRunstate,
            at: 0x5000,
            value,
        };
        let adjusted = |ops: &[Op], c, rust| {
            let program = Program {
                irqchip: Irqchip::Kernel,
                ops: ops.to_vec(),
            };
            let (c, rust) = (runstate(c), runstate(rust));
            stolen_time_is_bounded(&Case {
                program: &program,
                c: &[c],
                rust: &[rust],
                difference: Difference {
                    c: Some(c),
                    rust: Some(rust),
                },
            })
        };
        let ops = [Op::SetVcpu(0, VcpuAttr::RunstateAdjust([3, 1, 1, 0, 0, 0]))];
        assert!(adjusted(&ops, 3, 3 | IN_BOTH_LAYOUTS));
        assert!(!adjusted(&ops, 3 | IN_BOTH_LAYOUTS, 3));
        assert!(!adjusted(&ops, 2, 3 | IN_BOTH_LAYOUTS));
        assert!(!adjusted(&[], 3, 3 | IN_BOTH_LAYOUTS));
    }
}
