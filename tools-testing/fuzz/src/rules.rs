// SPDX-License-Identifier: GPL-2.0
//! Where Rust is better than C (Documentation/c-bugs.rst): what may differ, and
//! how. Each rule looks at the first difference of two traces, as what follows
//! may well be its consequence, and at what the sequence did before it.

use harness::kernel::{has, Has};

use crate::op::{Op, Program};
use crate::trace::{first_difference, Difference, Item};

mod clocks_left_alone;
mod guest_made_narrow_halts;
mod runstate_is_told_who_asks;
mod stolen_time_is_bounded;
mod timer_stays_set;

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

impl<'a> Case<'a> {
    /// That, if they do.
    pub fn of(program: &'a Program, c: &'a [Item], rust: &'a [Item]) -> Option<Self> {
        Some(Self {
            program,
            c,
            rust,
            difference: first_difference(c, rust)?,
        })
    }

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
        explains: timer_stays_set::explains,
    },
    Rule {
        name: "clocks_left_alone",
        reason: "C has all clocks written anew when shared_info is placed",
        until: Some(Has::SharedInfoLeavesClock),
        explains: clocks_left_alone::explains,
    },
    Rule {
        name: "stolen_time_is_bounded",
        reason: "C takes more time for stolen than went by",
        until: Some(Has::RunstateClockBackwards),
        explains: stolen_time_is_bounded::explains,
    },
    Rule {
        name: "guest_made_narrow_halts",
        reason: "C keeps events for words that a guest made 32-bit has not",
        until: None,
        explains: guest_made_narrow_halts::explains,
    },
    Rule {
        name: "runstate_is_told_who_asks",
        reason: "under PREEMPT_RT Rust tells the guest when a VMM asks, and C where it may not",
        until: None,
        explains: runstate_is_told_who_asks::explains,
    },
];

/// The rule that explains a difference.
pub fn explain(case: &Case) -> Option<&'static Rule> {
    let holds = |rule: &&Rule| !rule.until.is_some_and(has);
    RULES
        .iter()
        .filter(holds)
        .find(|rule| (rule.explains)(case))
}

/// What a rule says of a difference after these operations.
#[cfg(test)]
fn of_difference<R>(
    ops: &[Op],
    c: Option<Item>,
    rust: Option<Item>,
    rule: impl FnOnce(&Case) -> R,
) -> R {
    let program = Program {
        irqchip: crate::op::Irqchip::Kernel,
        ops: ops.to_vec(),
    };
    let (of_c, of_rust): (Vec<_>, Vec<_>) = (c.into_iter().collect(), rust.into_iter().collect());
    rule(&Case {
        program: &program,
        c: &of_c,
        rust: &of_rust,
        difference: Difference { c, rust },
    })
}
