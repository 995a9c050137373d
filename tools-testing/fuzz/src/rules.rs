// SPDX-License-Identifier: GPL-2.0
//! Where Rust is better than C (Documentation/c-bugs.rst): what may differ, and
//! how. Each rule looks at the first difference of two traces, as what follows
//! may well be its consequence, and at what the sequence did before it.

use selftests::abi::sched::{SET_TIMER_OP, VCPU_OP};

use crate::model::shared_info_away;
use crate::op::*;
use crate::trace::{Difference, Item, Kind};

/// A difference that may be.
pub struct Rule {
    /// Its name, for the count.
    pub name: &'static str,
    /// Why Rust is right.
    pub reason: &'static str,
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
pub const RULES: &[Rule] = &[Rule {
    name: "timer_stays_set",
    reason: "C forgets a timer whose event it could not deliver",
    explains: timer_stays_set,
}];

/// A timer was set, shared_info was away then or later, and C has forgotten the timer, while
/// Rust still has it.
fn timer_stays_set(case: &Case) -> bool {
    let (Some(c), Some(rust)) = (case.difference.c, case.difference.rust) else {
        return false;
    };
    let forgotten = c.kind == Kind::Expires && rust.kind == Kind::Expires && c.value == 0;
    forgotten && undelivered_timer(case)
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
    RULES.iter().find(|rule| (rule.explains)(case))
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
}
