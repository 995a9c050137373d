// SPDX-License-Identifier: GPL-2.0
//! The same as the mistakes are about, done by kvm_xen_rs: lockdep has nothing to report.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};

use crate::guest::Vm;
use crate::{lockdep, xen, Outcome};

const LIVEPATCH: &str = "/sys/kernel/livepatch/kvm_xen_rs";

/// The port that the guest sends from and to.
const SENT: u32 = 3;
/// The same, after the memslots have changed.
const SENT_AGAIN: u32 = 4;
/// The port of the timer.
const TIMER: u32 = 5;

/// How long the timer takes, longer than to set it, and how much later it may be.
const DELAY: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(10);

pub fn run() -> Result<Outcome> {
    ensure!(
        state("enabled")? && !state("transition")?,
        "kvm_xen_rs is not in charge; load it and wait for the transition"
    );
    if !lockdep::is_there() {
        return Ok(Outcome::Skipped("this kernel is without lockdep".into()));
    }
    ensure!(lockdep::is_on()?, "lockdep is off, as after any report");

    let mut vm = Vm::new()?;
    vm.update_memslots()?;
    xen::intercept_hypercalls(vm.fd())?;
    xen::map_shared_info(&vm)?;
    for port in [SENT, SENT_AGAIN] {
        xen::assign(&vm, port)?;
    }

    // `xen_lock` inside the section of KVM_RUN.
    xen::write_hypercall_page(&mut vm)?;
    // The path on which v5.19 took `kvm->lock`, with the page in place, and not.
    xen::send(&mut vm, SENT)?;
    vm.update_memslots()?;
    xen::send(&mut vm, SENT_AGAIN)?;
    fire_timer(&vm)?;
    // A grace period for what `xen_lock` protects.
    xen::reset(&vm)?;
    ensure!(!xen::deassign(&vm, SENT)?, "a port is there after a reset");
    drop(vm);

    ensure!(
        lockdep::is_on()?,
        "lockdep reports kvm_xen_rs: see the kernel log"
    );
    Ok(Outcome::Seen(
        "hypercall page, sending, memslots, timer and reset by kvm_xen_rs: lockdep reports nothing"
            .into(),
    ))
}

/// Has the timer fire in a hard interrupt.
fn fire_timer(vm: &Vm) -> Result<()> {
    let now = vm.fd().get_clock()?.clock;
    xen::set_timer(vm, TIMER, now + DELAY.as_nanos() as u64)?;
    ensure!(!xen::is_pending(vm, TIMER)?, "the timer fires at once");
    let start = Instant::now();
    while !xen::is_pending(vm, TIMER)? {
        ensure!(start.elapsed() < PATIENCE, "the timer does not fire");
        sleep(DELAY / 10);
    }
    Ok(())
}

/// A file of the livepatch that is 0 or 1.
fn state(file: &str) -> Result<bool> {
    let path = format!("{LIVEPATCH}/{file}");
    let text = fs::read_to_string(&path)
        .with_context(|| format!("can't read {path}; load kvm_xen_rs.ko"))?;
    Ok(text.trim() == "1")
}
