// SPDX-License-Identifier: GPL-2.0
//! Has the module in samples/broken_order commit a mistake with KVM's locks, and recognizes what
//! lockdep says to it. First KVM is made to take the locks in their right order.
//!
//! Lockdep switches itself off with its first report, so each mistake takes a boot of its own.
//! Documentation/locking.rst has the mistakes.

#[path = "../../../samples/broken_order/requests.rs"]
mod requests;

mod blind;
mod control;
mod device;
mod expected;
mod guest;
mod order;
mod refusals;
mod report;

use std::process::ExitCode;

use anyhow::{ensure, Result};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::Parser;
use nix::errno::Errno;

use harness::{kernel_log as klog, lockdep};
use livepatch::kmod;

use device::Device;
use expected::Expected;
use guest::Bare;
use requests::Mistake;

/// What kselftests exit with if they can't run.
const SKIPPED: u8 = 4;

/// Breaks KVM's lock order on purpose, and recognizes what lockdep says to it.
///
/// Exits with 0 if it was recognized, 1 if it was not, and 4 on a kernel without lockdep.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The mistake to commit, on a kernel without kvm_xen_rs.
    #[arg(required_unless_present_any = ["control", "refusals", "blind"], value_parser = mistakes())]
    mistake: Option<Mistake>,

    /// Do all of it the way kvm_xen_rs does, which has to be loaded, and expect no report.
    #[arg(long, conflicts_with = "mistake")]
    control: bool,

    /// Insert the module from this file first.
    #[arg(long, value_name = "FILE")]
    module: Option<String>,

    /// Make bad requests, and expect each to be refused.
    #[arg(long, conflicts_with_all = ["mistake", "control"])]
    refusals: bool,

    /// The module is samples/lockdep: have it commit what lockdep does not see, and then, by this
    /// number, one of the same that it does.
    #[arg(long, value_name = "NUMBER", requires = "module", conflicts_with_all = ["mistake", "control", "refusals"])]
    blind: Option<u64>,
}

fn mistakes() -> impl TypedValueParser<Value = Mistake> {
    PossibleValuesParser::new(Mistake::ALL.map(Mistake::name)).map(|name| {
        let named = |mistake: &Mistake| mistake.name() == name;
        Mistake::ALL.into_iter().find(named).expect("one of these")
    })
}

/// What came of it.
enum Outcome {
    Seen(String),
    Skipped(String),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match (arguments.blind, &arguments.module) {
        (Some(number), Some(file)) => blind::run(file, number),
        (_, module) => module
            .iter()
            .try_for_each(|file| kmod::load(file))
            .and_then(|()| match arguments.mistake {
                Some(mistake) => commit(mistake),
                None if arguments.control => control::run(),
                None => refusals::run(),
            }),
    };
    match outcome {
        Ok(Outcome::Seen(what)) => {
            println!("{what}");
            ExitCode::SUCCESS
        }
        Ok(Outcome::Skipped(why)) => {
            println!("skipped: {why}");
            SKIPPED.into()
        }
        Err(error) => {
            eprintln!("kvm-xen-broken-order: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Commits a mistake and looks for the report.
fn commit(mistake: Mistake) -> Result<Outcome> {
    let has_lockdep = lockdep::is_there();
    if has_lockdep {
        ensure!(
            lockdep::is_on()?,
            "lockdep is off, as after any report; commit each mistake in a boot of its own"
        );
        ensure!(
            !order::needs_fresh_boot(mistake) || !lockdep::knows("&kvm->lock")?,
            "KVM was used before; commit {} first thing after a boot",
            mistake.name()
        );
    }
    order::keep(mistake)?;
    if has_lockdep {
        ensure!(lockdep::is_on()?, "lockdep reports what KVM does itself");
    }

    let device = Device::open()?;
    let vm = Bare::new()?;
    if let Some(unseen) = order::unseen_beside(mistake) {
        device.commit(unseen, &vm)?;
        ensure!(
            !has_lockdep || lockdep::is_on()?,
            "lockdep sees {}, of which Documentation/locking.rst says that it does not",
            unseen.name()
        );
    }
    let mut log = klog::Tail::new()?;
    match device.commit(mistake, &vm) {
        Err(error) if error.downcast_ref() == Some(&Errno::EOPNOTSUPP) => {
            let why = format!("{} would do harm on this kernel", mistake.name());
            return Ok(Outcome::Skipped(why));
        }
        result => result?,
    }
    let log = log.read()?;

    if !has_lockdep {
        return Ok(Outcome::Skipped(format!(
            "{} is committed, and no harm done, but this kernel is without lockdep",
            mistake.name()
        )));
    }
    let seen = Expected::of(mistake).recognize(&log)?;
    ensure!(!lockdep::is_on()?, "lockdep is still on after its report");
    let unseen = order::unseen_beside(mistake)
        .map(|unseen| format!("; to {} it said nothing", unseen.name()))
        .unwrap_or_default();
    Ok(Outcome::Seen(format!("{}: {seen}{unseen}", mistake.name())))
}
