// SPDX-License-Identifier: GPL-2.0
//! Selftests of KVM's Xen ioctls, event channels and hypercalls.

use std::io::{self, stdout, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use harness::child;
use harness::kernel::{self, Has};
use harness::ktap::Ktap;
use selftests::case::{expand, Case, Filter};
use selftests::cases;
use selftests::obstacle::obstacle;
use selftests::side::Side;

/// All is well.
const PASSED: u8 = 0;
/// A case failed.
const FAILED: u8 = 1;
/// The command line is wrong; clap's own.
const USAGE: u8 = 2;
/// Nothing could run here; as in the kernel's selftests.
const SKIPPED: u8 = 4;

/// Checks KVM's Xen ioctls, event channels and hypercalls on this machine.
///
/// Needs a working /dev/kvm. Each case has a VM and a process of its own.
/// Prints KTAP. Exits with 0 if no case failed, 1 if one did, 2 for wrong
/// usage, and 4 if KVM can't be used here. On side c the cases that show what C
/// gets wrong have to fail.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Cases to run: a part of the name, or a glob over the whole name
    /// [default: all]
    #[arg(value_name = "CASE")]
    filters: Vec<String>,

    /// Print the names of the chosen cases and exit
    #[arg(short, long)]
    list: bool,

    /// Seconds that a case may take
    #[arg(short, long, default_value_t = 20.0, value_name = "SECONDS")]
    timeout: f32,

    /// Print how long each case took
    #[arg(short, long)]
    durations: bool,

    /// Which code serves KVM's Xen guests [default: rust if the livepatch is on]
    #[arg(long, value_enum)]
    side: Option<Side>,

    /// What the kernel has of the names that rust/kernels/differences knows
    /// [default: all of them from Linux 7.3 on, none before]
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    kernel_has: Option<Vec<String>>,

    /// The module was inserted with xen_poll_timeout=1: run the cases that want
    /// that, and no others
    #[arg(long, conflicts_with = "failing_allocations")]
    xen_poll_timeout: bool,

    /// Run the cases that have the kernel fail its allocations, and no others
    #[arg(long)]
    failing_allocations: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(names) = &options.kernel_has {
        match Has::from_names(names.iter().map(String::as_str)) {
            Ok(all) => kernel::set(all),
            Err(message) => {
                eprintln!("--kernel-has: {message}");
                return ExitCode::from(USAGE);
            }
        }
    }
    let code = match choose(&options) {
        Err(message) => {
            eprintln!("{message}");
            USAGE
        }
        Ok(cases) if options.list => {
            list(&cases);
            PASSED
        }
        Ok(cases) => run(&cases, &options).unwrap_or_else(|error| {
            eprintln!("cannot write results: {error}");
            FAILED
        }),
    };
    ExitCode::from(code)
}

fn list(cases: &[Case]) {
    for case in cases {
        // A reader that has seen enough is no failure.
        if writeln!(stdout(), "{}", case.name).is_err() {
            return;
        }
    }
}

fn choose(options: &Options) -> Result<Vec<Case>, String> {
    let filter = Filter::new(&options.filters).map_err(|error| format!("bad glob: {error}"))?;
    let topics = match options {
        _ if options.xen_poll_timeout => cases::WITH_XEN_POLL_TIMEOUT,
        _ if options.failing_allocations => cases::WITH_FAULT_INJECTION,
        _ => cases::TOPICS,
    };
    let cases: Vec<_> = expand(topics)
        .into_iter()
        .filter(|case| filter.matches(&case.name))
        .collect();
    if cases.is_empty() {
        return Err("no case has such a name; --list shows them all".into());
    }
    if !(options.timeout > 0.0 && options.timeout <= 86400.0) {
        return Err("--timeout must be more than 0 and at most 86400".into());
    }
    Ok(cases)
}

fn run(cases: &[Case], options: &Options) -> io::Result<u8> {
    if let Some(reason) = obstacle() {
        Ktap::skip_all(stdout(), &reason)?;
        return Ok(SKIPPED);
    }
    let limit = Duration::from_secs_f32(options.timeout);
    let side = options.side.unwrap_or_else(Side::detect);
    let start = Instant::now();
    let mut ktap = Ktap::start(stdout(), cases.len())?;
    for case in cases {
        let case_start = Instant::now();
        let mut verdict = child::run(&|| case.run(), limit);
        if let (Some(why), Side::C, false) = (
            case.better_in_rust,
            side,
            case.until.is_some_and(kernel::has),
        ) {
            ktap.diagnostic(&format!("C is wrong here: {why}"))?;
            verdict = verdict.turned();
        }
        if options.durations {
            ktap.diagnostic(&format!("{} ms", case_start.elapsed().as_millis()))?;
        }
        ktap.result(&case.name, &verdict)?;
    }
    ktap.diagnostic(&format!("took {:.1} s", start.elapsed().as_secs_f32()))?;
    Ok(if ktap.finish()? { PASSED } else { FAILED })
}
