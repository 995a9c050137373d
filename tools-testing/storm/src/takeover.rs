// SPDX-License-Identifier: GPL-2.0
//! Rust takes over from C in the middle of a storm, and hands back, many times.
//!
//! One guest lives through it all. Others are made on one side, with events under
//! way, and come to their end on the other.

use std::io::{self, stdout};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clap::Args;
use fastrand::Rng;
use harness::child::{self, step};
use harness::ktap::Ktap;
use harness::outcome::{fail, Outcome};

use crate::account;
use crate::book::Book;
use crate::churn::Churn;
use crate::crowd;
use crate::line::{senders, Pace};
use crate::plan::{Plan, Upcall};
use crate::storms::{self, tell, tell_tried};
use crate::stragglers;
use crate::times::Times;
use crate::withheld;
use crate::world::World;

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

    /// Only the cases whose names have this in them, or another that is given
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,

    /// Set no timers: where lockdep looks, it reports C's, and then looks no more; under
    /// PREEMPT_RT they hang the machine on C
    #[arg(long)]
    no_timers: bool,

    /// Take no pages of the guest away: under PREEMPT_RT C hangs the machine where a vCPU is
    /// preempted while somebody waits for the lock of one
    #[arg(long)]
    keep_pages: bool,

    /// Seconds that a transition may take
    #[arg(long, default_value_t = 5, value_name = "N")]
    limit: u64,

    /// The module
    #[arg(long, default_value = "/kvm_xen_rs.ko", value_name = "FILE")]
    module: String,

    /// What chances are made of [default: another each time, which is printed]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
}

impl Options {
    /// What is asked for of a guest that leaves time for other things.
    fn plan(&self, upcalls: Vec<Upcall>) -> Plan {
        Plan {
            timers: !self.no_timers,
            ..Plan::gentle(upcalls)
        }
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(self.limit)
    }

    /// Time for one switch there and back, in which nothing hangs.
    fn patience(&self) -> Duration {
        self.limit() * 12
    }
}

/// A case, by its name, and how long it may take.
type Case = (&'static str, fn(&Options, u64) -> Outcome, Duration);

/// Runs all cases, or those that are asked for.
pub fn run(options: &Options) -> io::Result<bool> {
    let seed = crate::seed(options.seed);
    let under_load_limit = match options.seconds {
        None => options.patience() * (options.times + 1),
        Some(seconds) => options.patience() * 4 + Duration::from_secs(seconds),
    };
    let cases: [Case; 5] = [
        (
            "page-withheld",
            |options, _| withheld::run(&options.module),
            options.patience() * 2,
        ),
        (
            "stragglers",
            |options, _| {
                stragglers::run(&options.module, !options.no_timers)?.check(options.limit())
            },
            options.patience() * 2 * stragglers::TIMES,
        ),
        (
            "many-vcpus",
            |options, seed| crowd::run(&options.module, seed, options.limit()),
            options.patience() * 5,
        ),
        ("host-cpu", beside_host_cpu, options.patience() * 3),
        ("under-load", under_load, under_load_limit),
    ];
    let is_chosen = |(name, ..): &&Case| {
        let mut only = options.only.iter();
        options.only.is_empty() || only.any(|only| name.contains(only.as_str()))
    };
    let chosen: Vec<_> = cases.iter().filter(is_chosen).collect();
    let mut ktap = Ktap::start(stdout(), chosen.len())?;
    ktap.diagnostic(&format!("seed {seed}"))?;
    for (name, case, limit) in chosen {
        let verdict = child::run(&|| absent().and_then(|()| case(options, seed)), *limit);
        ktap.result(name, &verdict)?;
    }
    ktap.finish()
}

/// Fails if the module is there already.
fn absent() -> Outcome {
    match livepatch::is_present() {
        true => Err(fail("the module is inserted already: remove it first")),
        false => Ok(()),
    }
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
    fn short(options: &Options, rng: &mut Rng) -> Outcome<Self> {
        let plan = options.plan(vec![Upcall::Vm, Upcall::Apic]);
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
    let churn = Churn {
        pages: !options.keep_pages,
        memslots: true,
        slower: 60,
        ..Churn::default()
    };
    in_a_storm(options, seed, churn, |turn, time| match options.seconds {
        None => turn >= options.times,
        Some(seconds) => turn >= 3 && time > Duration::from_secs(seconds),
    })
}

/// With a processor of the host that goes and comes back, in the transitions too.
fn beside_host_cpu(options: &Options, seed: u64) -> Outcome {
    in_a_storm(options, seed, Churn::HOST_CPU, |turn, _| turn >= 2)
}

/// Takes over and hands back in the middle of a storm until that `is_over`, by how often and for how
/// long it was done.
fn in_a_storm(
    options: &Options,
    seed: u64,
    churn: Churn,
    is_over: impl Fn(u32, Duration) -> bool,
) -> Outcome {
    let begun = Instant::now();
    let mut rng = Rng::with_seed(seed);
    let plan = options.plan(vec![Upcall::Vm, Upcall::Apic, Upcall::PollNowAndThen]);
    let storm = Storm::begin(plan, churn, &mut rng)?;
    let (mut times, mut others, mut events) = (Times::default(), 0, 0);
    for turn in 0.. {
        if is_over(turn, begun.elapsed()) {
            break;
        }
        let made_on_c = Storm::short(options, &mut rng)?;
        step(format!("Rust to take over, time {}", turn + 1));
        times
            .on
            .push(livepatch::insert(&options.module).map_err(stop)?);
        let made_on_rust = Storm::short(options, &mut rng)?;
        events += made_on_c.end()?;
        step(format!("Rust to hand back, time {}", turn + 1));
        times.off.push(livepatch::remove().map_err(stop)?);
        events += made_on_rust.end()?;
        others += 2;
    }
    let time = begun.elapsed();
    storms::end(&storm.world, storm.senders, storm.churn, begun, false)?;
    tell(&format!("{others} other guests, made on one side and destroyed on the other: {events} events, lost 0"));
    tell_tried(events, "events", 0);
    tell_tried(others, "guests destroyed on the other side", 0);
    tell(&format!(
        "{} times on and off in {:.0} s",
        times.on.len(),
        time.as_secs_f64()
    ));
    times.report();
    times.check(options.limit())
}

/// A failed switch, as an outcome.
pub fn stop(error: anyhow::Error) -> harness::outcome::Stop {
    fail(format!("{error:#}"))
}
