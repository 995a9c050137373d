// SPDX-License-Identifier: GPL-2.0
//! Under PREEMPT_RT Rust writes the guest's runstate when a VMM asks, and C where it may not.

use harness::host::preempt_rt;

use super::Case;
use crate::observe::LAYOUTS;
use crate::trace::{Item, Kind};

/// A runstate in guest memory that in Rust is just what the VMM was told last, which both sides have
/// told it, and in C an older one, or in the layout of before.
pub(super) fn explains(case: &Case) -> bool {
    preempt_rt() && is_told_who_asks(case)
}

fn is_told_who_asks(case: &Case) -> bool {
    let (Some(c), Some(rust)) = (case.difference.c, case.difference.rust) else {
        return false;
    };
    let told = |item: &&Item| item.kind == Kind::Runstate && item.op == rust.op;
    c.kind == Kind::GuestRunstate
        && (c.kind, c.at) == (rust.kind, rust.at)
        && case
            .rust
            .iter()
            .filter(told)
            .any(|item| item.value == rust.value & !LAYOUTS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{Irqchip, Program};
    use crate::trace::{Difference, AFTER};

    #[test]
    fn a_guest_is_told_the_runstate_that_a_vmm_asks_for() {
        let item = |kind, value| Item::new(AFTER, kind, 0, value);
        let told = |account, c, rust| {
            let program = Program {
                irqchip: Irqchip::Kernel,
                ops: Vec::new(),
            };
            let [c, rust] = [c, rust].map(|value| item(Kind::GuestRunstate, value));
            is_told_who_asks(&Case {
                program: &program,
                c: &[],
                rust: &[item(Kind::Runstate, account), rust],
                difference: Difference {
                    c: Some(c),
                    rust: Some(rust),
                },
            })
        };
        let in_compat_layout = 1 << 62;
        let runnable = 0xb_0000_0000;
        assert!(told(runnable, runnable | in_compat_layout, runnable));
        assert!(told(runnable, 0x3_0000_0000, runnable | in_compat_layout));
        // Not what it was not told.
        assert!(!told(runnable, runnable, 0x3_0000_0000));
        assert!(!told(runnable + 1, runnable + 1, runnable));
    }
}
