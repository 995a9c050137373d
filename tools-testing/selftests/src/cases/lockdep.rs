// SPDX-License-Identifier: GPL-2.0
//! What only lockdep sees: the kernel must have it, and it must not have reported anything yet.

use std::thread::sleep;
use std::time::Duration;

use kvm_bindings::KVM_XEN_VCPU_ATTR_TYPE_TIMER;

use crate::topic;
use harness::abi::Abi;
use harness::attr;
use harness::check::eventually;
use harness::kernel_log::Tail;
use harness::lockdep;
use harness::machine::Machine;
use harness::outcome::{Outcome, Stop};

/// How the report of a sleeping lock begins that is taken where nothing may sleep.
const REPORT: &str = "Invalid wait context";

/// Skips the case where lockdep is not there, or has turned itself off.
fn lockdep_is_on() -> Outcome {
    let why = match lockdep::is_there() {
        true if lockdep::is_on()? => return Ok(()),
        true => "lockdep has reported something before, and is off",
        false => "no lockdep here (CONFIG_PROVE_LOCKING)",
    };
    Err(Stop::Skip(why.into()))
}

/// A timer that fires takes no lock that sleeps under `PREEMPT_RT` in hard interrupt context.
fn timer_takes_no_sleeping_lock_in_hard_interrupt() -> Outcome {
    const PORT: u32 = 7;
    lockdep_is_on()?;
    let machine = Machine::new(Abi::Bits64)?;
    let mut log = Tail::or_skip()?;
    let timer = attr::timer(PORT, machine.vm.fd.get_clock()?.clock + 20_000_000);
    machine.vcpus[0].set_attr(KVM_XEN_VCPU_ATTR_TYPE_TIMER, timer)?;
    // It fires, and whoever it has interrupted writes the report and goes on.
    sleep(Duration::from_millis(220));
    // Under PREEMPT_RT the event may be left to the vCPU, or to whoever reads the timer.
    eventually("a timer that has fired", || {
        let timer = machine.vcpus[0].attr(KVM_XEN_VCPU_ATTR_TYPE_TIMER);
        timer.is_ok_and(|timer| timer[1] == 0) && machine.shared_info().pending(PORT)
    })?;
    log.check_without(REPORT)
}

topic! { "lockdep";
    once timer_takes_no_sleeping_lock_in_hard_interrupt
        better_in_rust("a timer takes a sleeping lock in hard interrupt context"),
}
