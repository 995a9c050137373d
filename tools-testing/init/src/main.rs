// SPDX-License-Identifier: GPL-2.0
//! PID 1 of the machines that the tests boot: of the one that KVM and our module run in, and of
//! the Xen guest inside it. It reads its plan, does it, tells of it on the second serial port and
//! powers off.

mod channel;
mod debug_kernel;
mod diagnose;
mod disk;
mod exec;
mod guest;
mod image;
mod ipi;
mod kvm;
mod lifecycle;
mod machine;
mod migration;
mod mounts;
mod phases;
mod shell;
mod side;
mod system;
mod timers;
mod xen_guest;

use anyhow::{Context, Result};
// Modules of this crate name them as their own.
use livepatch::{self, klog, kmod, kprobes};
use nix::sys::reboot::{reboot, RebootMode};
use protocol::{Event, GuestEvent, Plan, PLAN_PATH};
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, panic};

/// Whether this is the outer machine. A Xen guest's reset is another matter.
static MAY_RESET: AtomicBool = AtomicBool::new(false);

fn main() {
    // SAFETY: `getpid` has no preconditions.
    if unsafe { libc::getpid() } != 1 {
        eprintln!("kvm-xen-init is the first process of a machine that kvm-xen-run boots; it does nothing elsewhere.");
        std::process::exit(2);
    }
    panic::set_hook(Box::new(|info| {
        give_up(&format!("init panicked: {info}"));
    }));
    if let Err(error) = run() {
        give_up(&format!("{error:#}"));
    }
    power_off();
}

fn run() -> Result<()> {
    mounts::mount_all()?;
    channel::open()?;
    let text = fs::read_to_string(PLAN_PATH).context(PLAN_PATH)?;
    match protocol::from_line(&text).context("the plan is not of this version of init")? {
        Plan::Machine(plan) => {
            MAY_RESET.store(true, Ordering::Relaxed);
            machine::run(&plan)
        }
        Plan::Guest(plan) => {
            // What goes wrong in the guest goes to the machine that it runs in.
            if let Err(error) = guest::run(&plan) {
                channel::send(&GuestEvent::Failed {
                    reason: format!("{error:#}"),
                });
            }
            Ok(())
        }
    }
}

/// The last word of an init that can't go on.
fn give_up(message: &str) -> ! {
    klog::mark(message);
    channel::send(&Event::Fatal {
        message: message.into(),
    });
    power_off()
}

fn power_off() -> ! {
    channel::drain();
    // A reset is the end of a machine, too: QEMU is told not to start it again. Not each kernel of
    // ours can power off.
    let mode = match MAY_RESET.load(Ordering::Relaxed) {
        true => RebootMode::RB_AUTOBOOT,
        false => RebootMode::RB_POWER_OFF,
    };
    let error = match reboot(mode) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    klog::mark(&format!("can't power off: {error}"));
    loop {
        std::thread::park();
    }
}
