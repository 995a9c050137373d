// SPDX-License-Identifier: GPL-2.0
//! Tests KVM's Xen emulation in C against ours in Rust, by random sequences.

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use clap::Parser;
use fuzz::op::Program;
use fuzz::session::{Manner, Outcome, Session};
use fuzz::{generate, rules, under_rt};
use harness::kernel::{self, Has};
use harness::tally::tried;

/// Runs random sequences of what a VMM and its guest do on KVM's Xen emulation in
/// C and on ours in Rust, and compares all that can be seen.
///
/// Needs a working /dev/kvm, and root, to insert the module and to remove it.
/// Prints KTAP. Exits with 0 if all were equal, or differed where Rust is known
/// to be better, and with 1 otherwise.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// kvm_xen_rs.ko
    #[arg(long, value_name = "FILE", required_unless_present = "print")]
    module: Option<String>,

    /// What the kernel has of the names that rust/kernels/differences knows
    /// [default: all of them from Linux 7.3 on, none before]
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    kernel_has: Option<Vec<String>>,

    /// What determines the sequences [default: the time]
    #[arg(long)]
    seed: Option<u64>,

    /// Number of the first sequence
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    first: u64,

    /// How many sequences
    #[arg(long, default_value_t = 20_000, value_name = "NUMBER")]
    count: u64,

    /// Instead of so many, go on for so long
    #[arg(long)]
    minutes: Option<f64>,

    /// Leave out what hangs the machine on C under PREEMPT_RT
    #[arg(long)]
    under_rt: bool,

    /// Print the sequences and do nothing
    #[arg(long)]
    print: bool,
}

impl Options {
    /// The sequence of this number.
    fn program(&self, seed: u64, index: u64) -> Program {
        let program = generate::program(seed, index);
        match self.under_rt {
            true => under_rt::harmless(program),
            false => program,
        }
    }
}

/// Percent of the sequences that may differ by chance: of more, too much is not compared.
const BY_CHANCE: f64 = 2.0;

/// The same under `PREEMPT_RT`, where a vCPU is preempted by more, and shows it: threads run what
/// are interrupts elsewhere.
const BY_CHANCE_UNDER_RT: f64 = 4.0;

/// Of a few sequences, so many may be more than that.
const A_FEW: u64 = 5;

/// Sequences between two changes of the side.
const BATCH: u64 = 5000;

/// Sequences at once.
const MANNER: Manner = Manner {
    workers: 4,
    patience: 1,
};

fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(names) = &options.kernel_has {
        match Has::from_names(names.iter().map(String::as_str)) {
            Ok(all) => kernel::set(all),
            Err(message) => {
                eprintln!("--kernel-has: {message}");
                return ExitCode::from(2);
            }
        }
    }
    let seed = options.seed.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.map_or(1, |now| now.as_nanos() as u64)
    });
    if options.print {
        for index in options.first..options.first + options.count {
            println!("{index}: {:#?}", options.program(seed, index));
        }
        return ExitCode::SUCCESS;
    }
    println!("KTAP version 1\n1..4");
    println!("# seed {seed}");
    let mut outcome = Outcome::default();
    let result = run(&options, seed, &mut outcome);
    if let Err(error) = &result {
        println!("# not all was tried: {error:#}");
    }
    tell(&outcome);
    let mut ok = true;
    let mut case = |number: u32, name: &str, holds: bool| {
        println!("{} {number} {name}", if holds { "ok" } else { "not ok" });
        ok &= holds;
    };
    let some = outcome.tried > 0 && result.is_ok();
    case(1, "c_and_rust_show_the_same", some && outcome.differ == 0);
    for line in outcome.lost.iter().flat_map(|text| text.lines()) {
        println!("# {line}");
    }
    case(2, "no_sequence_is_lost", some && outcome.lost.is_empty());
    let percent = 100.0 * outcome.by_chance as f64 / outcome.tried.max(1) as f64;
    println!("# {percent:.2} % of the sequences differ by chance");
    let most = match options.under_rt {
        true => BY_CHANCE_UNDER_RT,
        false => BY_CHANCE,
    };
    let rare = percent <= most || outcome.by_chance <= A_FEW;
    case(3, "little_differs_by_chance", some && rare);
    let steady = some && outcome.flicker == 0;
    case(4, "nothing_flickers_on_rust_alone", steady);
    ExitCode::from(u8::from(!ok))
}

fn run(options: &Options, seed: u64, outcome: &mut Outcome) -> Result<()> {
    let module = options.module.as_deref().context("--module is missing")?;
    let mut session = Session::new(module, MANNER)?;
    let deadline = options
        .minutes
        .map(|minutes| Instant::now() + Duration::from_secs_f64(minutes * 60.0));
    loop {
        let left = match deadline {
            Some(deadline) if Instant::now() >= deadline => 0,
            Some(_) => BATCH,
            None => options.count - outcome.tried,
        };
        if left == 0 {
            return session.end();
        }
        let number = left.min(BATCH) as usize;
        let first = options.first + outcome.tried;
        let program = |index| options.program(seed, index);
        session.batch(first, number, &program, outcome)?;
    }
}

fn tell(outcome: &Outcome) {
    println!(
        "# {} sequences on both sides, {} observations each; {} differed by chance",
        outcome.tried, outcome.items, outcome.by_chance
    );
    for rule in rules::RULES {
        let times = outcome.explained.get(rule.name).unwrap_or(&0);
        println!(
            "# {times} times Rust is better: {} ({})",
            rule.name, rule.reason
        );
    }
    println!("# {} differ without a reason", outcome.differ);
    println!("# {} flicker on Rust alone", outcome.flicker);
    tried(outcome.tried, "sequences", outcome.differ + outcome.flicker);
}
