// SPDX-License-Identifier: GPL-2.0
//! All storms in turn, for long, and the kernel's memory after each round.

use std::io::{self, stdout};
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use clap::Args;
use harness::child::Verdict;
use harness::ktap::Ktap;

use crate::memory::Sample;
use crate::storms::{Setting, TELL};
use crate::Only;

/// How long.
#[derive(Args)]
pub struct Options {
    /// Minutes that it takes
    #[arg(long, default_value_t = 10.0, value_name = "N")]
    minutes: f32,

    /// Seconds of each storm
    #[arg(long, default_value_t = 3.0, value_name = "N")]
    each: f32,

    #[command(flatten)]
    only: Only,

    /// What chances are made of [default: another each time, which is printed]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
}

/// Runs rounds of all storms: the first one fills caches, and is not measured.
pub fn run(options: &Options) -> io::Result<bool> {
    let time = Duration::from_secs_f32((options.minutes * 60.0).max(1.0));
    let each = Duration::from_secs_f32(options.each.max(0.1));
    let storms = options.only.storms();
    let mut seed = crate::seed(options.seed);
    let mut ktap = Ktap::start(stdout(), storms.len() + 1)?;
    // There would be too many of them.
    TELL.store(false, SeqCst);
    let begun = Instant::now();
    let mut failures = vec![Vec::new(); storms.len()];
    let mut samples: Vec<Sample> = Vec::new();
    let mut rounds = 0;
    while samples.len() < 3 || begun.elapsed() < time {
        ktap.diagnostic(&format!("round {}, seed {seed}", rounds + 1))?;
        for (storm, failures) in storms.iter().zip(&mut failures) {
            let verdict = crate::run(storm, Setting { time: each, seed });
            if let Verdict::Fail(text) | Verdict::Skip(text) = verdict {
                ktap.diagnostic(&format!("{}: {text}", storm.name))?;
                failures.push(text);
            }
        }
        if rounds > 0 {
            let sample = Sample::take()?;
            ktap.diagnostic(&format!("after round {}: {sample}", rounds + 1))?;
            samples.push(sample);
        }
        rounds += 1;
        seed = seed.wrapping_add(1);
    }
    ktap.diagnostic(&format!("{rounds} rounds"))?;
    for (storm, failures) in storms.iter().zip(&failures) {
        let verdict = match failures.first() {
            None => Verdict::Pass,
            Some(first) => Verdict::Fail(format!("{} of {rounds}: {first}", failures.len())),
        };
        ktap.result(storm.name, &verdict)?;
    }
    let verdict = match Sample::growth(&samples) {
        Ok(text) => {
            ktap.diagnostic(&text)?;
            Verdict::Pass
        }
        Err(text) => Verdict::Fail(text),
    };
    ktap.result("memory", &verdict)?;
    ktap.finish()
}
