// SPDX-License-Identifier: GPL-2.0
//! What a user sees of an insertion that is refused: an error, the reason in the kernel's log, and
//! a machine that is as it was.

use std::fs;
use std::io::{self, stdout};
use std::time::Duration;

use clap::Args;
use harness::abi::Abi;
use harness::check::{check, check_eq};
use harness::child;
use harness::kernel_log::Tail;
use harness::ktap::Ktap;
use harness::machine::Machine;
use harness::outcome::{fail, Outcome};
use harness::poll::{poll_ends, polling_guest, ASLEEP, AWAKE};
use livepatch::inserted::Inserted;
use livepatch::kmod;
use nix::errno::Errno;
use nix::mount::{mount, MsFlags};

use crate::storms::tell;
use crate::takeover::stop;

/// Time for one case, with transitions of a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

const PORT: u32 = 5;

const SECURITYFS: &str = "/sys/kernel/security";

/// Which modules.
#[derive(Args)]
pub struct Options {
    /// The module
    #[arg(long, default_value = "/kvm_xen_rs.ko", value_name = "FILE")]
    module: String,

    /// The same for a kernel of another version
    #[arg(long, value_name = "FILE")]
    another_kernel: String,

    /// Another livepatch of the same functions
    #[arg(long, value_name = "FILE")]
    other: String,

    /// Only the cases whose names have this in them, or another that is given
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
}

type Case = (&'static str, fn(&Options) -> Outcome);

/// What the last two turn on stays until the machine is booted again, and each refuses what comes
/// before it, too.
const CASES: [Case; 5] = [
    ("another-kernel", another_kernel),
    ("in-transition", in_transition),
    ("not-beside-another", beside_another),
    ("locked-down", locked_down),
    ("unsigned", unsigned),
];

/// Runs all cases, or those that are asked for.
pub fn run(options: &Options) -> io::Result<bool> {
    let is_chosen = |(name, _): &&Case| {
        let mut only = options.only.iter();
        options.only.is_empty() || only.any(|only| name.contains(only.as_str()))
    };
    let chosen: Vec<_> = CASES.iter().filter(is_chosen).collect();
    let mut ktap = Ktap::start(stdout(), chosen.len())?;
    for (name, case) in chosen {
        let verdict = child::run(&|| case(options), LIMIT);
        ktap.result(name, &verdict)?;
    }
    ktap.finish()
}

/// What an insertion might change.
#[derive(Debug, PartialEq, Eq)]
struct Machinery {
    livepatches: Vec<String>,
    is_loaded: bool,
    redirected: String,
}

impl Machinery {
    fn now() -> Outcome<Self> {
        let livepatches = fs::read_dir("/sys/kernel/livepatch")?;
        let names = livepatches.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        Ok(Self {
            livepatches: names.collect::<io::Result<_>>()?,
            is_loaded: kmod::is_loaded(protocol::MODULE_NAME),
            redirected: fs::read_to_string("/sys/kernel/tracing/enabled_functions")?,
        })
    }
}

/// Inserts a module, which has to fail so, for this reason.
fn refused(module: &str, errno: Errno, says: &str) -> Outcome {
    let before = Machinery::now()?;
    let mut log = Tail::new()?;
    let error = match kmod::load(module) {
        Ok(()) => return Err(fail("it was not refused")),
        Err(error) => error,
    };
    let lines = log.read()?;
    tell(&format!("{error:#}"));
    lines.iter().for_each(|line| tell(line));
    check_eq("error", error.root_cause().downcast_ref(), Some(&errno))?;
    let reason = format!("a line with {says:?} in {lines:#?}");
    check(reason, lines.iter().any(|line| line.contains(says)))?;
    check_eq("what is patched", Machinery::now()?, before)
}

/// Events are delivered, whoever does it.
fn delivers() -> Outcome {
    let machine = Machine::new(Abi::Bits64)?;
    machine.vm.send(PORT, 0)?;
    check("the event", machine.shared_info().pending(PORT))
}

fn another_kernel(options: &Options) -> Outcome {
    refused(&options.another_kernel, Errno::ENOEXEC, "version magic")?;
    delivers()
}

/// While a vCPU polls, in a function that the other one replaces, its transition can't end.
fn in_transition(options: &Options) -> Outcome {
    let mut machine = polling_guest(Abi::Bits64, &[0])?;
    machine.shared_info().set_masked(PORT, true);
    let poll = machine.begin_poll(&[PORT], 0)?;
    poll.stays(ASLEEP)?;
    let other = Inserted::begin(&options.other).map_err(stop)?;
    refused(&options.module, Errno::EBUSY, "is in transition")?;
    check("the other one in transition", other.is_in_transition())?;
    machine.vm.send(PORT, 0)?;
    poll_ends(poll, &mut machine, AWAKE)?;
    other.settle().map_err(stop)?;
    delivers()?;
    other.remove().map_err(stop)
}

/// One that has settled is no hindrance, and either can go first.
fn beside_another(options: &Options) -> Outcome {
    for ours_first in [true, false] {
        let other = Inserted::insert(&options.other).map_err(stop)?;
        livepatch::insert(&options.module).map_err(stop)?;
        delivers()?;
        if ours_first {
            livepatch::remove().map_err(stop)?;
            delivers()?;
            other.remove().map_err(stop)?;
        } else {
            other.remove().map_err(stop)?;
            livepatch::check().map_err(stop)?;
            delivers()?;
            livepatch::remove().map_err(stop)?;
        }
    }
    delivers()
}

/// As after a boot with `lockdown=integrity`.
fn locked_down(options: &Options) -> Outcome {
    let none = MsFlags::empty();
    mount(
        Some("securityfs"),
        SECURITYFS,
        Some("securityfs"),
        none,
        None::<&str>,
    )?;
    fs::write(format!("{SECURITYFS}/lockdown"), "integrity")?;
    let says = "unsigned module loading is restricted; see man kernel_lockdown.7";
    refused(&options.module, Errno::EPERM, says)?;
    delivers()
}

/// As after a boot with `module.sig_enforce=1`.
fn unsigned(options: &Options) -> Outcome {
    fs::write("/sys/module/module/parameters/sig_enforce", "1")?;
    refused(
        &options.module,
        Errno::EKEYREJECTED,
        "Loading of unsigned module is rejected",
    )?;
    delivers()
}
