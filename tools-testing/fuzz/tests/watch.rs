// SPDX-License-Identifier: GPL-2.0
//! The watch over those who run sequences notices who hangs and who dies, and loses nothing else.
//!
//! Without libtest, which has threads: the watch forks. Prints what libtest would.

use std::process::{abort, ExitCode};
use std::thread::sleep;
use std::time::{Duration, Instant};

use fuzz::pool::{Batch, Pool, Work};
use fuzz::trace::{Item, Kind, Trace};

/// More than the watch leaves to anybody here.
const LONG: Duration = Duration::from_secs(600);

/// What the sequence of that number shows.
fn shows(index: usize) -> Trace {
    vec![Item::new(0, Kind::Result, 0, index as u64)]
}

/// Runs eight sequences in two processes; number `odd` does something else first.
fn run(odd: usize, first: fn()) -> (Vec<Trace>, Vec<String>) {
    let prepare = || -> anyhow::Result<Work<'_>> {
        Ok(Box::new(move |index| {
            if index == odd {
                first();
            }
            Ok(shows(index))
        }))
    };
    let mut pool = Pool::new().expect("shared memory");
    let batch = Batch {
        number: 8,
        workers: 2,
        limit: Duration::from_secs(1),
        prepare: &prepare,
    };
    pool.run(&batch).expect("all to have a trace")
}

/// All traces are there, and number `odd` has that of a sequence that was lost.
fn only_lost(traces: &[Trace], odd: usize) -> bool {
    let is_right = |(index, trace): (usize, &Trace)| match index == odd {
        true => matches!(
            trace[..],
            [Item {
                kind: Kind::Lost,
                ..
            }]
        ),
        false => *trace == shows(index),
    };
    traces.len() == 8 && traces.iter().enumerate().all(is_right)
}

fn one_that_hangs_is_told() -> bool {
    let begun = Instant::now();
    let (traces, told) = run(3, || sleep(LONG));
    let is_told =
        matches!(&told[..], [text] if text.starts_with("sequence 3 of this batch: hangs"));
    only_lost(&traces, 3) && is_told && begun.elapsed() < LONG
}

fn one_that_dies_is_told() -> bool {
    let (traces, told) = run(5, || abort());
    let is_told = matches!(&told[..], [text] if text.contains("5 of this batch: its process died"));
    only_lost(&traces, 5) && is_told
}

fn without_either_nothing_is_told() -> bool {
    let (traces, told) = run(0, || {});
    traces == (0..8).map(shows).collect::<Vec<_>>() && told.is_empty()
}

/// Whether what its name says is so.
type Test = fn() -> bool;

fn main() -> ExitCode {
    let tests: [(&str, Test); 3] = [
        ("one_that_hangs_is_told", one_that_hangs_is_told),
        ("one_that_dies_is_told", one_that_dies_is_told),
        (
            "without_either_nothing_is_told",
            without_either_nothing_is_told,
        ),
    ];
    let mut all = true;
    for (name, test) in tests {
        let holds = test();
        let word = if holds { "ok" } else { "FAILED" };
        println!("test watch::{name} ... {word}");
        all &= holds;
    }
    ExitCode::from(u8::from(!all))
}
