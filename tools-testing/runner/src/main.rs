// SPDX-License-Identifier: GPL-2.0
//! Boots machines in QEMU and has them show and test kvm-xen-rs.

mod accel;
mod alarms;
mod bench;
mod boot;
mod build_steps;
mod check;
mod children;
mod cli;
mod coverage;
mod cpio;
mod demo;
mod emulator;
mod expected;
mod initramfs;
mod klog;
mod ktap;
mod migratable;
mod modules;
mod narrate;
mod parts;
mod patches;
mod paths;
mod picture;
mod progress;
mod proposals;
mod qemu;
mod record;
mod report;
mod sample;
mod scratch;
mod select;
mod shell;
mod summary;
mod table;
mod tally;
mod terminal;
mod tsc;
mod upstream;
mod watch;

use anyhow::Result;
use clap::Parser;
use cli::{Cli, Command};
use std::process::{exit, ExitCode};

/// As a shell reports a program that Ctrl-C has ended.
const INTERRUPTED: i32 = 130;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let handler = ctrlc::set_handler(|| {
        children::kill_all();
        terminal::restore();
        scratch::remove();
        exit(INTERRUPTED);
    });
    if let Err(error) = handler {
        eprintln!("kvm-xen-run: handling Ctrl-C: {error}");
        return ExitCode::FAILURE;
    }
    let result = run(&cli);
    scratch::remove();
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("kvm-xen-run: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all went well; an error is something that kept us from finding out.
fn run(cli: &Cli) -> Result<bool> {
    match &cli.command {
        Command::Demo { shell: true, .. } => shell::run(&cli.common, true).map(|()| true),
        Command::Demo { rounds, .. } => demo::run(&cli.common, *rounds).map(|()| true),
        Command::Check {
            tests,
            beside,
            list,
        } => check::run(&cli.common, tests, beside.as_deref(), *list),
        Command::Alarms { names, count } => alarms::run(&cli.common, names, *count),
        Command::Bench(options) => bench::run(&cli.common, options),
        Command::CheckProposals { patches } => proposals::run(&cli.common, patches),
        Command::CheckUpstream { patches, rt } => patches::run(&cli.common, patches, *rt),
        Command::Coverage(options) => coverage::run(&cli.common, options),
        Command::Lockgraph => picture::run(&cli.common),
        Command::Sample => sample::run(&cli.common).map(|()| true),
        Command::Shell => shell::run(&cli.common, false).map(|()| true),
    }
}
