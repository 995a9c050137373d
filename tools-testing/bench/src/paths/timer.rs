// SPDX-License-Identifier: GPL-2.0
//! The interrupt of a vCPU's singleshot timer.

use std::time::Duration;

use kvm_bindings::KVM_XEN_VCPU_ATTR_TYPE_TIMER;
use vmm_sys_util::timerfd::TimerFd;

use harness::abi::Abi;
use harness::attr;
use harness::check::check;
use harness::machine::Machine;
use harness::outcome::Outcome;

use super::send::{Before, PORT};
use super::Path;
use crate::sample::{Samples, MANY};

const FLOOR: &str = "timer/timerfd-alone";
/// How long before it fires a timer is set, in nanoseconds.
const AHEAD: u64 = 50_000;
/// Looks at the clock until it has fired for sure.
const LOOKS: u32 = 20_000;

/// A timer of the kernel's that nobody waits for.
fn timerfd() -> Outcome<Samples> {
    let mut samples = Samples::default();
    let mut timer = TimerFd::new()?;
    for _ in 0..MANY {
        timer.reset(Duration::from_nanos(AHEAD), None)?;
        samples.interruption(LOOKS);
    }
    Ok(samples)
}

/// A singleshot timer, which the VMM sets.
fn fires(before: Before) -> Outcome<Samples> {
    let machine = Machine::new(Abi::Bits64)?;
    let mut samples = Samples::default();
    for _ in 0..MANY {
        before.set(&machine, 0)?;
        let due = machine.vm.fd.get_clock()?.clock + AHEAD;
        machine.vcpus[0].set_attr(KVM_XEN_VCPU_ATTR_TYPE_TIMER, attr::timer(PORT, due))?;
        samples.interruption(LOOKS);
        check("a timer to have fired", machine.shared_info().pending(PORT))?;
    }
    Ok(samples)
}

pub fn paths() -> Vec<Path> {
    vec![
        Path::floor(FLOOR, timerfd),
        Path::above(FLOOR, "timer/raised", || fires(Before::Clear)).with_entry(),
    ]
}
