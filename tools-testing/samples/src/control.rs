// SPDX-License-Identifier: GPL-2.0
//! The same as the mistakes are about, done by kvm_xen_rs: lockdep has nothing to report.

use std::fs;
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use kvm_bindings::KVM_XEN_VCPU_ATTR_TYPE_TIMER;
use nix::errno::Errno;

use harness::abi::hypercall::{EVENT_CHANNEL_OP, EVTCHNOP_SEND};
use harness::abi::Abi;
use harness::attr;
use harness::check::{check, check_eq, check_err, eventually};
use harness::guest_cpu::DATA;
use harness::machine::Machine;
use harness::outcome::Outcome as Stopped;
use harness::port::Port;

use crate::guest::{told, update_memslots};
use crate::{lockdep, Outcome};

const LIVEPATCH: &str = "/sys/kernel/livepatch/kvm_xen_rs";

/// The port that the guest sends from and to.
const SENT: u32 = 3;
/// The same, after the memslots have changed.
const SENT_AGAIN: u32 = 4;
/// The port of the timer.
const TIMER: u32 = 5;

/// How long the timer takes, longer than to set it.
const DELAY: Duration = Duration::from_millis(100);

pub fn run() -> Result<Outcome> {
    ensure!(
        state("enabled")? && !state("transition")?,
        "kvm_xen_rs is not in charge; load it and wait for the transition"
    );
    if !lockdep::is_there() {
        return Ok(Outcome::Skipped("this kernel is without lockdep".into()));
    }
    ensure!(lockdep::is_on()?, "lockdep is off, as after any report");
    drive().map_err(told)?;
    ensure!(
        lockdep::is_on()?,
        "lockdep reports kvm_xen_rs: see the kernel log"
    );
    Ok(Outcome::Seen(
        "hypercall page, sending, memslots, timer and reset by kvm_xen_rs: lockdep reports nothing"
            .into(),
    ))
}

/// Has kvm_xen_rs take the locks.
fn drive() -> Stopped {
    let mut machine = Machine::new(Abi::Bits64)?;
    update_memslots(&machine.vm, &machine.area)?;
    for port in [SENT, SENT_AGAIN] {
        machine.vm.assign(Port::ipi(port, 0))?;
    }
    // `xen_lock` inside the section of KVM_RUN.
    machine.boot_with_hypercalls(0)?;
    // The path on which v5.19 took `kvm->lock`, with the page in place, and not.
    send(&mut machine, SENT)?;
    update_memslots(&machine.vm, &machine.area)?;
    send(&mut machine, SENT_AGAIN)?;
    fire_timer(&machine)?;
    // A grace period for what `xen_lock` protects.
    machine.vm.reset_ports()?;
    check_err(
        "a port after a reset",
        machine.vm.deassign(SENT),
        Errno::ENOENT,
    )
}

/// Has the guest send an event.
fn send(machine: &mut Machine, port: u32) -> Stopped {
    machine.ram.write(DATA, &port.to_le_bytes())?;
    let result = machine.vcpus[0].call(EVENT_CHANNEL_OP, &[EVTCHNOP_SEND, DATA])?;
    check_eq("result of EVTCHNOP_send", result, 0)?;
    check(
        "the port to be pending",
        machine.shared_info().pending(port),
    )
}

/// Has the timer fire in a hard interrupt.
fn fire_timer(machine: &Machine) -> Stopped {
    let due = machine.vm.fd.get_clock()?.clock + DELAY.as_nanos() as u64;
    machine.vcpus[0].set_attr(KVM_XEN_VCPU_ATTR_TYPE_TIMER, attr::timer(TIMER, due))?;
    let pending = || machine.shared_info().pending(TIMER);
    check("a timer that does not fire at once", !pending())?;
    eventually("the timer", pending)
}

/// A file of the livepatch that is 0 or 1.
fn state(file: &str) -> Result<bool> {
    let path = format!("{LIVEPATCH}/{file}");
    let text = fs::read_to_string(&path)
        .with_context(|| format!("can't read {path}; load kvm_xen_rs.ko"))?;
    Ok(text.trim() == "1")
}
