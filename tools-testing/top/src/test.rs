// SPDX-License-Identifier: GPL-2.0
//! `kvm-xen-top-test`: what kvm-xen-top counts is what was sent, and tracepoints that are on don't
//! keep the module from going.

#[path = "test/count.rs"]
mod count;
#[path = "test/counters.rs"]
mod counters;
#[path = "test/ftrace.rs"]
mod ftrace;
#[path = "test/remove.rs"]
mod remove;
#[path = "test/running.rs"]
mod running;

use clap::{Parser, Subcommand};
use harness::outcome::{Outcome, Stop};
use std::path::PathBuf;
use std::process::ExitCode;

/// Tests kvm-xen-top and the module's tracepoints, on a machine for that.
#[derive(Parser)]
struct Options {
    /// The program kvm-xen-top
    #[arg(long)]
    top: PathBuf,

    #[command(subcommand)]
    test: Test,
}

#[derive(Subcommand)]
enum Test {
    /// Sends events of all kinds, and compares their numbers with those that are shown
    Count,
    /// Removes the module with tracepoints on
    Remove {
        /// The module, to be inserted
        module: String,
    },
}

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop::Skip(why)) => {
            println!("{why}");
            ExitCode::from(4)
        }
        Err(Stop::Fail(why)) => {
            println!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Outcome {
    match &options.test {
        Test::Count => count::run(&options.top),
        Test::Remove { module } => remove::run(&options.top, module),
    }
}
