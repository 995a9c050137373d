// SPDX-License-Identifier: GPL-2.0
//! Makes a sequence short that shows a difference. As it takes seconds to have the
//! other side in charge, many candidates are tried at once.

use crate::op::*;

/// Rounds at most; a sequence is mostly done after six.
const ROUNDS: usize = 12;

/// The shortest sequence found that still `shows` it: that says so of each of some
/// candidates.
pub fn shrink<E>(
    mut program: Program,
    mut shows: impl FnMut(&[Program]) -> Result<Vec<bool>, E>,
) -> Result<Program, E> {
    for _ in 0..ROUNDS {
        let singles: Vec<Program> = (0..program.ops.len())
            .map(|at| without(&program, &[at]))
            .collect();
        let needless: Vec<usize> = positions(&shows(&singles)?);
        if needless.is_empty() {
            break;
        }
        // One at a time, all of them may be needless. Of two that only matter
        // together, one stays.
        let prefixes: Vec<Program> = (1..=needless.len())
            .map(|number| without(&program, &needless[..number]))
            .collect();
        let shown = shows(&prefixes)?;
        // Not reached if what it shows depends on chance.
        let Some(&best) = positions(&shown).last() else {
            break;
        };
        program = prefixes[best].clone();
    }
    for _ in 0..ROUNDS {
        let simpler = simpler(&program);
        if simpler.is_empty() {
            break;
        }
        match positions(&shows(&simpler)?).first() {
            Some(&at) => program = simpler[at].clone(),
            None => break,
        }
    }
    Ok(program)
}

fn positions(shown: &[bool]) -> Vec<usize> {
    (0..shown.len()).filter(|&at| shown[at]).collect()
}

fn without(program: &Program, needless: &[usize]) -> Program {
    let kept = |at: &usize| !needless.contains(at);
    Program {
        irqchip: program.irqchip,
        ops: (0..program.ops.len())
            .filter(kept)
            .map(|at| program.ops[at].clone())
            .collect(),
    }
}

/// The same with something in it made simpler.
fn simpler(program: &Program) -> Vec<Program> {
    let mut all = Vec::new();
    if program.irqchip == Irqchip::Split {
        let mut simpler = program.clone();
        simpler.irqchip = Irqchip::Kernel;
        all.push(simpler);
    }
    for (at, op) in program.ops.iter().enumerate() {
        for op in simpler_ops(op) {
            let mut simpler = program.clone();
            simpler.ops[at] = op;
            all.push(simpler);
        }
    }
    all
}

fn simpler_ops(op: &Op) -> Vec<Op> {
    let mut all = Vec::new();
    match op {
        Op::Call(vcpu, call) => {
            if call.mode != Mode::Long {
                all.push(Op::Call(
                    *vcpu,
                    Call {
                        mode: Mode::Long,
                        ..call.clone()
                    },
                ));
            }
            if call.ring3 {
                all.push(Op::Call(
                    *vcpu,
                    Call {
                        ring3: false,
                        ..call.clone()
                    },
                ));
            }
            for at in 0..6 {
                if call.params[at] != 0 {
                    let mut call = call.clone();
                    call.params[at] = 0;
                    all.push(Op::Call(*vcpu, call));
                }
            }
            if call.data.is_some() {
                all.push(Op::Call(
                    *vcpu,
                    Call {
                        data: None,
                        ..call.clone()
                    },
                ));
            }
        }
        Op::Run(vcpu, mode, code) if *mode != Mode::Long => {
            all.push(Op::Run(*vcpu, Mode::Long, *code))
        }
        Op::HypercallPage(vcpu, mode, msr, value) if *mode != Mode::Long => {
            all.push(Op::HypercallPage(*vcpu, Mode::Long, *msr, *value));
        }
        Op::Irqfd(gsi, times @ 2..) => all.push(Op::Irqfd(*gsi, times - 1)),
        Op::Routes(routes) if routes.len() > 1 => {
            all.extend(routes.iter().map(|route| Op::Routes(vec![*route])));
        }
        Op::SetVm(VmAttr::SharedInfo(gpa)) if *gpa != Gpa::Area(0, 0) => {
            all.push(Op::SetVm(VmAttr::SharedInfo(Gpa::Area(0, 0))));
        }
        Op::SetVcpu(vcpu, VcpuAttr::VcpuInfo(gpa)) if *gpa != Gpa::Area(2, 0) => {
            all.push(Op::SetVcpu(*vcpu, VcpuAttr::VcpuInfo(Gpa::Area(2, 0))));
        }
        Op::SetVcpu(vcpu, VcpuAttr::RunstateAddr(gpa)) if *gpa != Gpa::Area(5, 0) => {
            all.push(Op::SetVcpu(*vcpu, VcpuAttr::RunstateAddr(Gpa::Area(5, 0))));
        }
        _ => {}
    }
    all
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn program(ops: Vec<Op>) -> Program {
        Program {
            irqchip: Irqchip::Kernel,
            ops,
        }
    }

    fn shrunk(ops: Vec<Op>, shows: impl Fn(&[Op]) -> bool) -> Vec<Op> {
        let judge = |candidates: &[Program]| {
            Ok::<_, Infallible>(
                candidates
                    .iter()
                    .map(|candidate| shows(&candidate.ops))
                    .collect(),
            )
        };
        let Ok(program) = shrink(program(ops), judge);
        program.ops
    }

    fn filler(number: usize) -> Vec<Op> {
        (0..number).map(|at| Op::GetVm(at as u16)).collect()
    }

    #[test]
    fn what_is_needed_stays() {
        let needed = [Op::AddVcpu(3), Op::DirtyLog(true), Op::Send(5, 0, 1)];
        let mut ops = filler(12);
        for (at, op) in [(2, 0), (7, 1), (9, 2)] {
            ops.insert(at, needed[op].clone());
        }
        let in_order = |ops: &[Op]| {
            let mut rest = ops.iter();
            needed.iter().all(|op| rest.any(|other| other == op))
        };
        assert_eq!(shrunk(ops, in_order), needed);
    }

    #[test]
    fn of_two_that_will_do_one_stays() {
        let ops = [filler(5), vec![Op::AddVcpu(1), Op::AddVcpu(1)], filler(5)].concat();
        assert_eq!(
            shrunk(ops, |ops| ops.contains(&Op::AddVcpu(1))),
            [Op::AddVcpu(1)]
        );
    }

    #[test]
    fn operations_become_simpler() {
        let ops = vec![
            Op::Irqfd(24, 3),
            Op::SetVm(VmAttr::SharedInfo(Gpa::Elsewhere(1, 0))),
        ];
        let shows = |ops: &[Op]| ops.len() == 2 && matches!(ops[0], Op::Irqfd(24, 2..));
        let expected = [
            Op::Irqfd(24, 2),
            Op::SetVm(VmAttr::SharedInfo(Gpa::Area(0, 0))),
        ];
        assert_eq!(shrunk(ops, shows), expected);
    }

    #[test]
    fn what_does_not_repeat_is_given_back() {
        let ops = filler(4);
        assert_eq!(shrunk(ops.clone(), |_| false), ops);
    }
}
