// SPDX-License-Identifier: GPL-2.0
//! Takeover with vCPUs that neither sleep where livepatch may change them over,
//! nor return to their VMM: a transition must not wait for them for long, and they
//! must not notice.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::Arc;
use std::time::Duration;

use harness::abi::sched::{SCHEDOP_POLL, SCHED_OP};
use harness::abi::Abi;
use harness::attr;
use harness::check::check_eq;
use harness::child::step;
use harness::detached::Detached;
use harness::guest_code::Entry;
use harness::machine::Machine;
use harness::outcome::{fail, Outcome};
use harness::poll::{polling_guest, ASLEEP, AWAKE, POLL};
use harness::vcpu::{Exit, Vcpu};
use kvm_bindings::{kvm_regs, KVM_XEN_VCPU_ATTR_TYPE_TIMER};
use nix::errno::Errno;

use crate::guest_code::VECTOR;
use crate::storms::tell;
use crate::takeover::stop;
use crate::times::Times;

/// How often Rust takes over and hands back.
pub const TIMES: u32 = 2;

/// The port of each vCPU.
const POLLED: u32 = 5;
const SPINNING: u32 = 6;
const HALTED: u32 = 7;

/// How far ahead timers are set: they should fire after the switch, whose end
/// takes longer on the way back.
const BEFORE_RUST: Duration = Duration::from_secs(5);
const BEFORE_C: Duration = Duration::from_secs(10);

/// Takes over and hands back, with a guest that is made before each switch and
/// destroyed after it; returns what that took.
pub fn run(module: &str, with_timers: bool) -> Outcome<Times> {
    let mut times = Times::default();
    let mut sums = Sums::default();
    for turn in 1..=TIMES {
        let guest = Guest::begin(with_timers.then_some(BEFORE_RUST))?;
        step(format!("Rust to take over, time {turn}"));
        times.on.push(livepatch::insert(module).map_err(stop)?);
        guest.end(&mut sums)?;

        let guest = Guest::begin(with_timers.then_some(BEFORE_C))?;
        step(format!("Rust to hand back, time {turn}"));
        times.off.push(livepatch::remove().map_err(stop)?);
        guest.end(&mut sums)?;
    }
    tell(&format!(
        "{} switches with a vCPU that polls, one that spins, one that is halted: KVM_RUN \
         interrupted {} times; timers set before and fired after: {}",
        TIMES * 2,
        sums.interruptions,
        sums.timers
    ));
    times.report();
    if with_timers && sums.timers == 0 {
        return Err(fail("no timer outlived a switch, all took too long"));
    }
    Ok(times)
}

/// What all guests came to.
#[derive(Default)]
struct Sums {
    interruptions: u64,
    timers: u64,
}

/// A guest whose vCPUs run in threads of their own.
struct Guest {
    machine: Machine,
    poller: Detached,
    spinner: Detached,
    sleeper: Detached,
    /// Its timer was set; it is sent an event otherwise.
    has_timer: bool,
    interruptions: Arc<AtomicU64>,
}

impl Guest {
    fn begin(timer: Option<Duration>) -> Outcome<Self> {
        let mut machine = polling_guest(Abi::Bits64, &[0, 1, 2])?;
        machine.boot(1)?;
        machine.boot(2)?;
        machine.vm.set_upcall_vector(VECTOR)?;
        machine.shared_info().set_masked(POLLED, true);
        machine.write_poll(&[POLLED], 0)?;
        if let Some(ahead) = timer {
            set_timer(&machine, ahead)?;
        }

        let interruptions = Arc::new(AtomicU64::new(0));
        // The last one first, for the indexes of the others to stay.
        let sleeper = waiting(&mut machine, 2, Entry::Halt, &interruptions)?;
        let spinner = waiting(&mut machine, 1, Entry::Spin, &interruptions)?;
        let poller = polling(&mut machine, &interruptions)?;
        let guest = Self {
            machine,
            poller,
            spinner,
            sleeper,
            has_timer: timer.is_some(),
            interruptions,
        };
        guest.stays(ASLEEP)?;
        Ok(guest)
    }

    /// Fails if a vCPU comes back that was sent nothing.
    fn stays(&self, time: Duration) -> Outcome {
        self.poller.stays(time)?;
        self.spinner.stays(Duration::ZERO)
    }

    /// Sends each vCPU what it waits for, and sees that it gets it.
    fn end(mut self, sums: &mut Sums) -> Outcome {
        if self.has_timer && !self.machine.shared_info().pending(HALTED) {
            sums.timers += 1;
        }
        self.stays(ASLEEP)?;
        let machine = &mut self.machine;
        machine.vm.send(POLLED, 0)?;
        let (exit, _) = self.poller.back(machine, AWAKE)?;
        check_eq("the poller's exit", exit, Exit::Done)?;
        check_eq("the poll's result", machine.vcpus[0].result()?, 0)?;
        machine.vm.send(SPINNING, 1)?;
        let (exit, _) = self.spinner.back(machine, AWAKE)?;
        check_eq("exit of the vCPU that spins", exit, Exit::Interrupt(VECTOR))?;
        if !self.has_timer {
            machine.vm.send(HALTED, 2)?;
        }
        let (exit, _) = self.sleeper.back(machine, BEFORE_C + AWAKE)?;
        check_eq("exit of the halted vCPU", exit, Exit::Interrupt(VECTOR))?;
        for port in [POLLED, SPINNING, HALTED] {
            let what = format!("whether port {port} is pending");
            check_eq(&what, machine.shared_info().pending(port), true)?;
        }
        sums.interruptions += self.interruptions.load(SeqCst);
        Ok(())
    }
}

/// Sets the timer of the last vCPU.
fn set_timer(machine: &Machine, ahead: Duration) -> Outcome {
    let due = machine.vm.fd.get_clock()?.clock + ahead.as_nanos() as u64;
    Ok(machine.vcpus[2].set_attr(KVM_XEN_VCPU_ATTR_TYPE_TIMER, attr::timer(HALTED, due))?)
}

/// Has a vCPU wait for an interrupt.
fn waiting(
    machine: &mut Machine,
    index: usize,
    entry: Entry,
    interruptions: &Arc<AtomicU64>,
) -> Outcome<Detached> {
    let interruptions = interruptions.clone();
    machine.detach(index, move |vcpu| {
        let exit = vcpu.start(entry, kvm_regs::default());
        let (exit, times) = persist(vcpu, exit);
        interruptions.fetch_add(times, SeqCst);
        exit
    })
}

/// Has the first vCPU poll until its event comes: an interruption ends a poll, and
/// a guest then polls again.
fn polling(machine: &mut Machine, interruptions: &Arc<AtomicU64>) -> Outcome<Detached> {
    let interruptions = interruptions.clone();
    machine.detach(0, move |vcpu| loop {
        let exit = vcpu.hypercall(SCHED_OP, &[SCHEDOP_POLL, POLL]);
        let (exit, times) = persist(vcpu, exit);
        interruptions.fetch_add(times, SeqCst);
        if exit != Ok(Exit::Done) || times == 0 {
            return exit;
        }
    })
}

/// Goes on whenever KVM_RUN is interrupted, as a VMM does, and counts that.
fn persist(vcpu: &mut Vcpu, mut exit: Result<Exit, Errno>) -> (Result<Exit, Errno>, u64) {
    let mut times = 0;
    while exit == Err(Errno::EINTR) {
        times += 1;
        exit = vcpu.run();
    }
    (exit, times)
}
