// SPDX-License-Identifier: GPL-2.0
//! The command line.

use crate::accel::Choice;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// Boots machines in QEMU and has them show and test kvm-xen-rs.
///
/// Nothing of this machine's kernel is touched: a stock kernel runs in QEMU, with nested
/// virtualization, and KVM with our module runs in it. Where this machine has no KVM that can
/// nest, QEMU emulates the processor.
#[derive(Parser)]
#[command(name = "kvm-xen-run", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,

    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Args, Clone)]
pub struct Common {
    /// The clone of kvm-xen-rs
    #[arg(long, value_name = "DIR", default_value = "/src", global = true)]
    pub source: PathBuf,

    /// Where provisioning has put kernels and the like
    #[arg(long, value_name = "DIR", default_value = "/cache", global = true)]
    pub cache: PathBuf,

    /// Where kernels are by name, as provisioning has chosen them
    #[arg(long, value_name = "DIR", env = "KVM_XEN_KERNELS", global = true)]
    pub kernels: Option<PathBuf>,

    /// The kernel to boot: its name, or where it is
    #[arg(long, value_name = "NAME", default_value = "default", global = true)]
    pub kernel: PathBuf,

    /// How QEMU runs machines
    #[arg(long, value_enum, default_value_t = Choice::Auto, global = true)]
    pub accel: Choice,

    /// Leave everything to KVM's own C code: neither build nor insert our module
    #[arg(long, global = true)]
    pub no_module: bool,

    /// Insert this module rather than the one built from the clone
    #[arg(long, value_name = "FILE", conflicts_with = "no_module", global = true)]
    pub module: Option<PathBuf>,

    /// Keep each boot's kernel log, events and QEMU command line there [default: build/logs in
    /// the clone]
    #[arg(long, value_name = "DIR", global = true)]
    pub keep_logs: Option<PathBuf>,

    /// Seconds that each boot may take [default: by what it does]
    #[arg(long, value_name = "S", global = true, value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: Option<u64>,

    #[command(flatten)]
    pub random: Random,
}

/// What random tests take.
#[derive(Args, Clone, Copy)]
pub struct Random {
    /// What determines random tests [default: the time; it is printed]
    #[arg(long, value_name = "NUMBER", default_value_t = now(), hide_default_value = true, global = true)]
    pub seed: u64,

    /// Minutes for random tests and storms, in place of a fixed number of them
    #[arg(long, value_name = "N", global = true, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub minutes: Option<u64>,

    /// Random sequences of the fuzzer [default: as many as it thinks fit]
    #[arg(long, value_name = "N", global = true, value_parser = clap::value_parser!(u32).range(1..))]
    pub sequences: Option<u32>,

    /// How often the takeover under load switches to Rust and back [default: as often as it can in
    /// a while]
    #[arg(long, value_name = "N", global = true, value_parser = clap::value_parser!(u32).range(1..))]
    pub times: Option<u32>,
}

/// Seconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(1, |since| since.as_secs())
}

#[derive(Subcommand)]
pub enum Command {
    /// Show a stock Debian, a Xen guest of KVM, served by Rust, then by C, then by Rust again
    Demo {
        /// Give a prompt in the machine, with our module in charge and the Xen guest beside it
        #[arg(long)]
        shell: bool,

        /// Rounds of the guest's work in each phase
        #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
    },

    /// Run the tests; the last line is "N passed, N failed"
    Check {
        /// Only tests that one of these selects: a part of the name, or a glob over all of it
        #[arg(long, value_name = "PATTERN", num_args = 1..)]
        tests: Vec<String>,

        /// Run a part of the tests on the kernels of this group, too
        #[arg(long, value_name = "GROUP")]
        beside: Option<String>,

        /// Print the names of the tests and exit
        #[arg(long)]
        list: bool,
    },

    /// Break the module on purpose, in one way after the other, and run the tests that are to
    /// notice; that they pass without, `check` shows
    Alarms {
        /// Only these defects: a part of the name, or a glob over all of alarms/NAME
        names: Vec<String>,

        /// Only so many of those that take little time, as the seed chooses
        #[arg(long, value_name = "N")]
        count: Option<usize>,
    },

    /// Run the tests on the debug kernel and draw the lock order, declared and seen, in
    /// Documentation/lock-order.svg
    Lockgraph,

    /// Measure what C and Rust cost, path by path
    Bench(Bench),

    /// Run samples/hello-xen, a small VMM, on C and on Rust
    Sample,

    /// Measure which lines of our module run in the tests on Rust
    Coverage(Coverage),

    /// Try the patches of samples/proposals, all at once: a debug kernel is built with them, which
    /// runs the doctests of its kernel crate, and our module is built and run on it
    CheckProposals {
        /// Only these, by the names of their files without .patch
        #[arg(value_name = "PATCH")]
        patches: Vec<String>,
    },

    /// Try the C patches of samples/upstream: KVM of the debug kernel is built with each, and its
    /// reproducer has to fail without it, and to pass with it and on Rust
    CheckUpstream {
        /// Only these, by the names of their files without .patch; Documentation/upstream.rst stays
        /// as it is
        #[arg(value_name = "PATCH")]
        patches: Vec<String>,

        /// On the debug kernel with PREEMPT_RT; Documentation/upstream.rst stays as it is
        #[arg(long)]
        rt: bool,
    },

    /// Give a prompt in a machine with KVM; our module lies at /kvm_xen_rs.ko
    Shell,
}

/// What coverage takes.
#[derive(Args, Clone)]
pub struct Coverage {
    /// Only these tests; Documentation/coverage.rst stays as it is, but with --add
    #[arg(long, value_name = "PATTERN", num_args = 1..)]
    pub tests: Vec<String>,

    /// Add to what the last runs of the same module have shown, rather than begin anew
    #[arg(long)]
    pub add: bool,
}

/// What the benchmark takes.
#[derive(Args, Clone)]
pub struct Bench {
    /// How often each path is measured on each side
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub runs: u32,

    /// Only these paths, with their floors; Documentation/performance.rst stays as it is
    #[arg(long, value_name = "GLOB")]
    pub paths: Option<String>,

    /// Turn the module's tracepoints on for Rust: for the trace, or for kvm-xen-top; nothing is kept
    #[arg(long, value_name = "trace|top")]
    pub traced: Option<String>,

    /// Tell what is slower than in this file of results; then fail
    #[arg(long, value_name = "FILE")]
    pub compare: Option<PathBuf>,

    /// What is measured, for the results
    #[arg(long, value_name = "NAME", default_value = "unknown")]
    pub commit: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn patterns_follow_one_another() {
        let cli = Cli::try_parse_from(["kvm-xen-run", "check", "--tests", "a", "b*"]).unwrap();
        assert!(matches!(cli.command, Command::Check { tests, .. } if tests == ["a", "b*"]));
    }
}
