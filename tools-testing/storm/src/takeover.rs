// SPDX-License-Identifier: GPL-2.0
//! Rust takes over from C in the middle of a storm, and hands back, many times.
//!
//! One guest lives through it all. Others are made on one side, with events under
//! way, and come to their end on the other.

use std::collections::BTreeSet;
use std::io::{self, stdout};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clap::Args;
use fastrand::Rng;
use livepatch::Took;
use selftests::harness::child::{self, step};
use selftests::harness::ktap::Ktap;
use selftests::harness::outcome::{fail, Outcome};

use crate::account;
use crate::book::Book;
use crate::churn::Churn;
use crate::line::{senders, Pace};
use crate::plan::{Plan, Upcall};
use crate::storms::{self, tell};
use crate::world::World;

/// What a transition may take.
const LIMIT: Duration = Duration::from_secs(5);
/// Time for one switch there and back, in which nothing hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// So many tasks are told by their names.
const FEW: usize = 8;

/// Which module, and how often.
#[derive(Args)]
pub struct Options {
    /// How often Rust takes over and hands back
    #[arg(
        long,
        default_value_t = 10,
        value_name = "N",
        conflicts_with = "seconds"
    )]
    times: u32,

    /// As often as it can in so many seconds, and 3 times at least
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,

    /// The module
    #[arg(long, default_value = "/kvm_xen_rs.ko", value_name = "FILE")]
    module: String,

    /// What chances are made of [default: another each time, which is printed]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
}

/// Runs it as one case.
pub fn run(options: &Options) -> io::Result<bool> {
    let seed = crate::seed(options.seed);
    let mut ktap = Ktap::start(stdout(), 1)?;
    ktap.diagnostic(&format!("seed {seed}"))?;
    let limit = match options.seconds {
        None => PATIENCE * (options.times + 1),
        Some(seconds) => PATIENCE * 4 + Duration::from_secs(seconds),
    };
    let verdict = child::run(&|| under_load(options, seed), limit);
    ktap.result("under-load", &verdict)?;
    ktap.finish()
}

/// A guest in a storm, with the threads that make it.
struct Storm {
    world: Arc<World>,
    senders: Vec<JoinHandle<()>>,
    churn: Vec<JoinHandle<()>>,
}

impl Storm {
    fn begin(plan: Plan, churn: Churn, rng: &mut Rng) -> Outcome<Self> {
        let world = World::new(plan, Book::new()?)?;
        let churn = churn.start(&world, rng)?;
        let senders = senders(&world, Pace::Gentle, rng)?;
        Ok(Self {
            world,
            senders,
            churn,
        })
    }

    /// One that lives until the next switch.
    fn short(rng: &mut Rng) -> Outcome<Self> {
        let plan = Plan::gentle(vec![Upcall::Vm, Upcall::Apic]);
        Self::begin(plan, Churn::default(), rng)
    }

    /// Ends it and accounts for it; returns how many events were sent.
    fn end(self) -> Outcome<u64> {
        storms::finish(&self.world, self.senders, self.churn, false)?;
        let entries = account::entries(&self.world);
        Ok(entries.iter().map(|(_, sent)| sent.ok).sum())
    }
}

fn under_load(options: &Options, seed: u64) -> Outcome {
    if livepatch::is_present() {
        return Err(fail("the module is inserted already: remove it first"));
    }
    let begun = Instant::now();
    let mut rng = Rng::with_seed(seed);
    let plan = Plan::gentle(vec![Upcall::Vm, Upcall::Apic, Upcall::PollNowAndThen]);
    let churn = Churn {
        pages: true,
        memslots: true,
        slower: 60,
        ..Churn::default()
    };
    let storm = Storm::begin(plan, churn, &mut rng)?;
    let (mut times, mut others, mut events) = (Times::default(), 0, 0);
    for turn in 0.. {
        let is_over = match options.seconds {
            None => turn >= options.times,
            Some(seconds) => turn >= 3 && begun.elapsed() > Duration::from_secs(seconds),
        };
        if is_over {
            break;
        }
        let made_on_c = Storm::short(&mut rng)?;
        step(format!("Rust to take over, time {}", turn + 1));
        times
            .on
            .push(livepatch::insert(&options.module).map_err(stop)?);
        let made_on_rust = Storm::short(&mut rng)?;
        events += made_on_c.end()?;
        step(format!("Rust to hand back, time {}", turn + 1));
        times.off.push(livepatch::remove().map_err(stop)?);
        events += made_on_rust.end()?;
        others += 2;
    }
    let time = begun.elapsed();
    storms::end(&storm.world, storm.senders, storm.churn, begun, false)?;
    tell(&format!("{others} other guests, made on one side and destroyed on the other: {events} events, lost 0"));
    tell(&format!(
        "{} times on and off in {:.0} s",
        times.on.len(),
        time.as_secs_f64()
    ));
    times.report();
    times.check()
}

fn stop(error: anyhow::Error) -> selftests::harness::outcome::Stop {
    fail(format!("{error:#}"))
}

/// What all switches took.
#[derive(Default)]
struct Times {
    on: Vec<Took>,
    off: Vec<Took>,
}

impl Times {
    fn report(&self) {
        let line = |what: &str, took: &[Took], part: fn(&Took) -> Duration| {
            let mut times: Vec<_> = took.iter().map(part).collect();
            times.sort();
            let ms = |index: usize| times.get(index).map_or(0, Duration::as_millis);
            tell(&format!(
                "{what}: {} ms at least, {} ms as a rule, {} ms at most",
                ms(0),
                ms(times.len() / 2),
                ms(times.len().saturating_sub(1))
            ));
        };
        line(
            "inserting, with functions given to ftrace",
            &self.on,
            |took| took.module,
        );
        line("the transition to Rust", &self.on, |took| took.transition);
        line("the transition to C", &self.off, |took| took.transition);
        line("taking functions from ftrace", &self.off, |took| took.after);
        line("removing", &self.off, |took| took.module);
        for (to, took) in [("Rust", &self.on), ("C", &self.off)] {
            // Where many were left, it was only the first look at them.
            let few = took.iter().filter(|took| took.last.len() <= FEW);
            let last = few.flat_map(|took| took.last.iter());
            let names: BTreeSet<_> = last.filter_map(|task| task.split(' ').next()).collect();
            let names: Vec<_> = names.into_iter().collect();
            tell(&format!(
                "last to change over to {to}: {}",
                names.join(", ")
            ));
        }
    }

    /// Fails if some transition took too long.
    fn check(&self) -> Outcome {
        let all = self.on.iter().chain(&self.off);
        match all.max_by_key(|took| took.transition) {
            Some(longest) if longest.transition > LIMIT => Err(fail(format!(
                "a transition took {:.1} s, and must end within {} s; it waited for {}",
                longest.transition.as_secs_f64(),
                LIMIT.as_secs(),
                longest.last.join(", ")
            ))),
            _ => Ok(()),
        }
    }
}
