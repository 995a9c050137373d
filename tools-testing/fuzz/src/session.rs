// SPDX-License-Identifier: GPL-2.0
//! Has sequences run on both sides, and tells apart what differs always, what by
//! chance, and what may.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};

use crate::exec::Executor;
use crate::flicker::{is_rusts, is_steady, ROUNDS, RUNS};
use crate::memory::Memory;
use crate::op::Program;
use crate::pool::{Batch, Pool, Work};
use crate::priority;
use crate::rules::{explain, Case};
use crate::shrink::shrink;
use crate::trace::{first_difference, Difference, Kind, Trace, AFTER};

/// Who serves KVM's Xen guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// kvm.ko.
    C,
    /// The livepatch.
    Rust,
}

/// Who runs sequences, and how.
#[derive(Clone, Copy)]
pub struct Manner {
    /// Processes at once.
    pub workers: usize,
    /// How much longer than necessary to wait for what ends by itself.
    pub patience: u32,
}

/// Time for a sequence, which has a few alarms of its own.
const LIMIT: Duration = Duration::from_secs(20);
/// How often a sequence has to show the same on each side to be taken for different.
const REPEATS: usize = 3;
/// Alone, and with time.
const CAREFUL: Manner = Manner {
    workers: 2,
    patience: 4,
};
/// Differences to make short; of more, most are the same.
const TO_SHRINK: usize = 4;

/// Sequences that differ by chance of which that is told.
const TO_TELL: u64 = 20;

/// A difference that no rule explains.
pub struct Finding {
    /// Number of the sequence.
    pub index: u64,
    /// The sequence, as short as it got.
    pub program: Program,
    /// What C showed.
    pub c: Trace,
    /// Where they part.
    pub difference: Difference,
}

/// What came of some sequences.
#[derive(Default)]
pub struct Outcome {
    /// Sequences that were run on both sides.
    pub tried: u64,
    /// Things seen on each side.
    pub items: u64,
    /// Sequences whose traces differed at first, but not always when repeated, on C neither.
    pub by_chance: u64,
    /// Sequences in which C always shows the same, and Rust does not.
    pub flicker: u64,
    /// How often each rule applied.
    pub explained: BTreeMap<&'static str, u64>,
    /// Sequences with a difference that no rule explains.
    pub differ: u64,
    /// How many of them were made short.
    pub shrunk: usize,
    /// What was told of sequences that hung or died.
    pub lost: Vec<String>,
}

/// Runs sequences on both sides.
pub struct Session<'a> {
    pool: Pool,
    memory: Memory,
    module: &'a str,
    side: Side,
    manner: Manner,
}

/// Puts a side in charge.
fn switch(module: &str, to: Side) -> Result<()> {
    let took = match to {
        Side::Rust => livepatch::insert(module),
        Side::C => livepatch::remove(),
    };
    took.map(drop)
        .with_context(|| format!("having {to:?} in charge"))
}

impl<'a> Session<'a> {
    /// While C is in charge. Rust is so from then on: what the kernel warns of once, and
    /// Rust gives reason to, is not then taken for C's.
    pub fn new(module: &'a str, manner: Manner) -> Result<Self> {
        switch(module, Side::Rust)?;
        priority::unlimited()?;
        priority::take(priority::WATCH)?;
        Ok(Self {
            pool: Pool::new()?,
            memory: Memory::new()?,
            module,
            side: Side::Rust,
            manner,
        })
    }

    /// Leaves C in charge.
    pub fn end(self) -> Result<()> {
        match self.side {
            Side::C => Ok(()),
            Side::Rust => switch(self.module, Side::C),
        }
    }

    /// Runs the sequences on both sides, the one in charge first.
    fn both(
        &mut self,
        number: usize,
        program: &dyn Fn(usize) -> Program,
        manner: Manner,
        lost: &mut Vec<String>,
    ) -> Result<[Vec<Trace>; 2]> {
        let mut traces = [Vec::new(), Vec::new()];
        if number == 0 {
            return Ok(traces);
        }
        let other = match self.side {
            Side::C => Side::Rust,
            Side::Rust => Side::C,
        };
        for side in [self.side, other] {
            if side != self.side {
                switch(self.module, side)?;
                self.side = side;
            }
            let begun = Instant::now();
            let memory = &self.memory;
            let prepare = || -> Result<Work<'_>> {
                priority::take(priority::WORKER)?;
                let mut executor = Executor::new(memory.inherited()?, manner.patience)?;
                Ok(Box::new(move |index| {
                    let program = program(index);
                    let trace = executor.run(&program);
                    trace.with_context(|| format!("sequence {index}: {program:?}"))
                }))
            };
            let (all, told) = self.pool.run(&Batch {
                number,
                workers: priority::at_once(manner.workers),
                limit: LIMIT * manner.patience,
                prepare: &prepare,
            })?;
            if number > 1000 {
                println!(
                    "# {number} sequences on {side:?}: {:.1} s of the machine's time",
                    begun.elapsed().as_secs_f32()
                );
            }
            traces[side as usize] = all;
            lost.extend(told.into_iter().map(|text| format!("{side:?}: {text}")));
        }
        Ok(traces)
    }

    /// Tries so many sequences, from the `first`.
    pub fn batch(
        &mut self,
        first: u64,
        number: usize,
        program: &dyn Fn(u64) -> Program,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let by_number = |index: usize| program(first + index as u64);
        let [c, rust] = self.both(number, &by_number, self.manner, &mut outcome.lost)?;
        outcome.tried += number as u64;
        outcome.items += c.iter().map(|trace| trace.len() as u64).sum::<u64>();
        let differ: Vec<(u64, Difference)> = (0..number)
            .filter_map(|at| Some((first + at as u64, first_difference(&c[at], &rust[at])?)))
            .collect();
        drop((c, rust));

        let new = self.confirm(&differ, program, outcome)?;
        outcome.differ += new.len() as u64;
        for finding in new {
            if outcome.shrunk < TO_SHRINK {
                let short = self.shorten(finding)?;
                tell(&short);
                outcome.shrunk += 1;
            }
        }
        Ok(())
    }

    /// Of sequences that differ, those that do so whenever they are run, and that no
    /// rule explains. What Rust alone shows only now and then is told at once.
    fn confirm(
        &mut self,
        differ: &[(u64, Difference)],
        program: &dyn Fn(u64) -> Program,
        outcome: &mut Outcome,
    ) -> Result<Vec<Finding>> {
        let programs: Vec<Program> = differ.iter().map(|&(index, _)| program(index)).collect();
        let repeated = |at: usize| programs[at / REPEATS].clone();
        let number = programs.len() * REPEATS;
        let [c, rust] = self.both(number, &repeated, CAREFUL, &mut outcome.lost)?;
        let (mut findings, mut flickers) = (Vec::new(), Vec::new());
        for (at, &(index, first)) in differ.iter().enumerate() {
            let of = |traces: &[Trace]| traces[at * REPEATS..][..REPEATS].to_vec();
            let (c, rust) = (of(&c), of(&rust));
            match Case::of(&programs[at], &c[0], &rust[0]) {
                Some(case) if is_steady(&c) && is_steady(&rust) => match explain(&case) {
                    Some(rule) => *outcome.explained.entry(rule.name).or_default() += 1,
                    None => findings.push(Finding {
                        index,
                        program: programs[at].clone(),
                        c: c[0].clone(),
                        difference: case.difference,
                    }),
                },
                _ => {
                    if is_steady(&c) {
                        flickers.push((index, programs[at].clone()));
                    }
                    outcome.by_chance += 1;
                    if outcome.by_chance <= TO_TELL {
                        println!(
                            "# sequence {index} differs by chance: {}",
                            chance(&c, &rust, &first)
                        );
                    }
                }
            }
        }
        let flickers = self.flickers(flickers, outcome)?;
        outcome.by_chance -= flickers.len() as u64;
        outcome.flicker += flickers.len() as u64;
        Ok(findings)
    }

    /// Of these sequences, those that flicker on Rust and never on C; tells them.
    fn flickers(
        &mut self,
        mut of: Vec<(u64, Program)>,
        outcome: &mut Outcome,
    ) -> Result<Vec<(u64, Program)>> {
        for round in 1..=ROUNDS {
            let runs = |at: usize| of[at / RUNS].1.clone();
            let number = of.len() * RUNS;
            let [c, rust] = self.both(number, &runs, CAREFUL, &mut outcome.lost)?;
            let mut left = Vec::new();
            for (at, (index, program)) in of.into_iter().enumerate() {
                let (c, rust) = (&c[at * RUNS..][..RUNS], &rust[at * RUNS..][..RUNS]);
                let may_be = |run: &Trace| {
                    Case::of(&program, &c[0], run).is_none_or(|case| explain(&case).is_some())
                };
                if is_rusts(c, rust, may_be) {
                    let other = rust.iter().find_map(|run| first_difference(&c[0], run));
                    if let (ROUNDS, Some(difference)) = (round, other) {
                        println!("# sequence {index} flickers on Rust alone: {difference}");
                        println!("# {program:?}");
                    }
                    left.push((index, program));
                }
            }
            of = left;
        }
        Ok(of)
    }

    /// The same difference in a shorter sequence.
    fn shorten(&mut self, finding: Finding) -> Result<Finding> {
        let kind = kind_of(&finding.difference);
        let begun = Instant::now();
        let program = shrink(finding.program.clone(), |candidates| {
            // Twice: what differs by chance leads astray.
            let [c, rust] = self.both(
                2 * candidates.len(),
                &|at| candidates[at / 2].clone(),
                CAREFUL,
                &mut Vec::new(),
            )?;
            let shows = |at: usize| {
                let (c, rust) = (&c[2 * at..][..2], &rust[2 * at..][..2]);
                let steady = c[0] == c[1] && rust[0] == rust[1];
                Case::of(&candidates[at], &c[0], &rust[0]).is_some_and(|case| {
                    steady && kind_of(&case.difference) == kind && explain(&case).is_none()
                })
            };
            anyhow::Ok((0..candidates.len()).map(shows).collect())
        })?;
        println!(
            "# sequence {}: {} operations shrunk to {} in {:.1} s",
            finding.index,
            finding.program.ops.len(),
            program.ops.len(),
            begun.elapsed().as_secs_f32()
        );
        let [mut c, mut rust] = self.both(1, &|_| program.clone(), CAREFUL, &mut Vec::new())?;
        let (Some(c), Some(rust)) = (c.pop(), rust.pop()) else {
            bail!("a sequence has left no trace");
        };
        match first_difference(&c, &rust) {
            Some(difference) => Ok(Finding {
                program,
                c,
                difference,
                ..finding
            }),
            // Told as it was found.
            None => Ok(finding),
        }
    }
}

/// Prints what is done, and what C shows after each operation.
fn tell(finding: &Finding) {
    let Finding {
        index,
        program,
        c,
        difference,
    } = finding;
    println!("# sequence {index}: {difference}");
    println!("# {:?}", program.irqchip);
    for (number, op) in program.ops.iter().enumerate() {
        println!("# op {number}: {op:x?}");
        let shown = c.iter().filter(|item| usize::from(item.op) == number);
        shown.for_each(|item| println!("#   C: {item}"));
    }
    let after = c.iter().filter(|item| item.op == AFTER);
    after.for_each(|item| println!("#   C: {item}"));
}

fn kind_of(difference: &Difference) -> Option<Kind> {
    difference.c.or(difference.rust).map(|item| item.kind)
}

/// Where runs part that should not: on one side, or not any more.
fn chance(c: &[Trace], rust: &[Trace], first: &Difference) -> String {
    for (side, traces) in [("C", c), ("Rust", rust)] {
        for trace in &traces[1..] {
            if let Some(Difference { c, rust }) = first_difference(&traces[0], trace) {
                let text = |item: Option<_>| {
                    item.map_or("nothing".into(), |item: crate::trace::Item| {
                        item.to_string()
                    })
                };
                return format!("{side} once: {}; again: {}", text(c), text(rust));
            }
        }
    }
    format!("once {first}")
}
