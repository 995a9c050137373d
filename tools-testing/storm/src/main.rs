// SPDX-License-Identifier: GPL-2.0
//! Storms of Xen events, each ending with an exact account.

use std::io::{self, stdout};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use harness::child::{self, Verdict};
use harness::ktap::Ktap;

mod account;
mod block;
mod book;
mod churn;
mod crowd;
mod crowd_code;
mod destroy;
mod guest_code;
mod host;
mod line;
mod memory;
mod pages;
mod plan;
mod refused;
mod setup;
mod soak;
mod storms;
mod stragglers;
mod takeover;
mod times;
mod watch;
mod withheld;
mod world;

use storms::{Setting, Storm, STORMS};

/// How much longer than it is set to a storm may take.
const SLACK: Duration = Duration::from_secs(60);

/// Storms of Xen events on VMs of this machine: what is sent must be seen by the
/// guest, and nothing else.
///
/// Needs a working /dev/kvm. Prints KTAP. Exits with 0 if nothing failed, 1 if
/// something did, and 2 for wrong usage.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Options {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    storms: Storms,
}

#[derive(Args)]
struct Storms {
    /// Seconds that all storms take together
    #[arg(long, default_value_t = 40.0, value_name = "N")]
    seconds: f32,

    #[command(flatten)]
    only: Only,

    /// What chances are made of [default: another each time, which is printed]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,

    /// Print names, and what each storm is, and exit
    #[arg(long)]
    list: bool,
}

/// A choice of storms.
#[derive(Args)]
pub struct Only {
    /// Only the storms whose names have this in them, or another that is given
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
}

impl Only {
    /// Those that are chosen: if none is, all that leave the host as it is.
    pub fn storms(&self) -> Vec<&'static Storm> {
        let is_chosen = |storm: &&Storm| {
            let mut only = self.only.iter();
            only.any(|only| storm.name.contains(only.as_str()))
        };
        match self.only.is_empty() {
            true => STORMS.iter().collect(),
            false => STORMS
                .iter()
                .chain(host::STORMS)
                .filter(is_chosen)
                .collect(),
        }
    }
}

#[derive(Subcommand)]
enum Command {
    /// Switch between C and Rust in the middle of a storm
    Takeover(takeover::Options),
    /// All storms in turn, with an eye on the kernel's memory
    Soak(soak::Options),
    /// Insert where that is refused
    Refused(refused::Options),
}

fn main() -> ExitCode {
    let options = Options::parse();
    let result = match options.command {
        None => storms(&options.storms),
        Some(Command::Takeover(options)) => takeover::run(&options),
        Some(Command::Soak(options)) => soak::run(&options),
        Some(Command::Refused(options)) => refused::run(&options),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("cannot write results: {error}");
            ExitCode::from(1)
        }
    }
}

/// Runs a storm in a process of its own.
pub fn run(storm: &Storm, setting: Setting) -> Verdict {
    child::run(&|| (storm.run)(&setting), setting.time + SLACK)
}

/// The seed that was given, or any.
fn seed(given: Option<u64>) -> u64 {
    given.unwrap_or_else(|| fastrand::u64(..))
}

fn storms(options: &Storms) -> io::Result<bool> {
    let chosen = options.only.storms();
    if options.list {
        for storm in chosen {
            println!("{}: {}", storm.name, storm.what);
        }
        return Ok(true);
    }
    if chosen.is_empty() {
        eprintln!("no storm has such a name; --list shows them all");
        return Ok(false);
    }
    let seed = seed(options.seed);
    let time = Duration::from_secs_f32(options.seconds.max(1.0)) / chosen.len() as u32;
    let mut ktap = Ktap::start(stdout(), chosen.len())?;
    ktap.diagnostic(&format!("seed {seed}"))?;
    for storm in chosen {
        ktap.diagnostic(&format!("{}: {}", storm.name, storm.what))?;
        let verdict = run(storm, Setting { time, seed });
        ktap.result(storm.name, &verdict)?;
    }
    ktap.finish()
}
