// SPDX-License-Identifier: GPL-2.0
//! What hangs the machine under `PREEMPT_RT`, on C (c-bugs.rst), and so is left out of sequences
//! there.

use harness::abi::runstate::RUNNABLE;
use harness::abi::sched::{SET_TIMER_OP, VCPUOP_SET_SINGLESHOT_TIMER, VCPU_OP};

use crate::op::{Call, Op, Program, VcpuAttr};

/// The sequence without that.
pub fn harmless(mut program: Program) -> Program {
    program.ops.retain(|op| !hangs_c(op));
    program
}

/// Whether C sleeps in a hard interrupt for it, or leaves interrupts off.
fn hangs_c(op: &Op) -> bool {
    match op {
        Op::FireTimer(..) => true,
        Op::SetVcpu(_, VcpuAttr::Timer(_, _, expires)) => *expires != 0,
        Op::SetVcpu(_, VcpuAttr::RunstateCurrent(state)) => *state == u64::from(RUNNABLE),
        Op::SetVcpu(_, VcpuAttr::RunstateAdjust([state, ..])) => *state == u64::from(RUNNABLE),
        Op::Call(_, call) => sets_timer(call),
        _ => false,
    }
}

/// Whether it does so in any mode: 32-bit code has the lower halves of registers alone.
fn sets_timer(call: &Call) -> bool {
    let is = |word: u64, expected| word & 0xffff_ffff == expected;
    is(call.number, SET_TIMER_OP)
        || is(call.number, VCPU_OP) && is(call.params[0], VCPUOP_SET_SINGLESHOT_TIMER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::program;

    #[test]
    fn no_timer_is_set_and_no_state_is_runnable() {
        let all: Vec<_> = (0..4000).map(|index| program(5, index)).collect();
        let left: Vec<_> = all.iter().cloned().map(harmless).collect();
        let count = |programs: &[Program]| programs.iter().map(|one| one.ops.len()).sum::<usize>();
        // What is left is most, or the test would be one of little.
        assert!(count(&left) * 10 > count(&all) * 8);
        assert!(count(&left) < count(&all));
        let [all, left] = [format!("{all:?}"), format!("{left:?}")];
        for what in [
            "FireTimer(",
            "RunstateCurrent(1)",
            "RunstateAdjust([1,",
            "number: 15,",
        ] {
            assert!(all.contains(what) && !left.contains(what), "{what}");
        }
        for what in [
            "Timer(",
            "RunstateCurrent(",
            "RunstateAdjust(",
            "number: 24,",
        ] {
            assert!(left.contains(what), "{what}");
        }
    }
}
