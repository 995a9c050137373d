// SPDX-License-Identifier: GPL-2.0
//! What only lockdep sees: the kernel must have it, and it must not have reported anything yet.

use std::fs::read_to_string;
use std::thread::sleep;
use std::time::Duration;

use kvm_bindings::KVM_XEN_VCPU_ATTR_TYPE_TIMER;

use crate::kernel_log::{kernel_log, records};
use crate::topic;
use harness::abi::Abi;
use harness::attr::Payload;
use harness::check::eventually;
use harness::machine::Machine;
use harness::outcome::{fail, Outcome, Stop};
use harness::vm::PRIORITY;

/// How the report of a sleeping lock begins that is taken where nothing may sleep.
const REPORT: &str = "Invalid wait context";

/// Skips the case where lockdep is not there, or has turned itself off.
fn lockdep_is_on() -> Outcome {
    const STATS: &str = "/proc/lockdep_stats";
    let stats = read_to_string(STATS).map_err(|error| {
        Stop::Skip(format!(
            "no lockdep here (CONFIG_PROVE_LOCKING): {STATS}: {error}"
        ))
    })?;
    match is_on(&stats) {
        Some(true) => Ok(()),
        Some(false) => Err(Stop::Skip(
            "lockdep has reported something before, and is off".into(),
        )),
        None => Err(fail(format!("{STATS} does not say whether lockdep is on"))),
    }
}

/// Whether lockdep is on, by what it says of itself.
fn is_on(stats: &str) -> Option<bool> {
    let mut lines = stats.lines();
    let value = lines.find_map(|line| line.trim().strip_prefix("debug_locks:"))?;
    Some(value.trim() == "1")
}

/// A timer that fires takes no lock that sleeps under `PREEMPT_RT` in hard interrupt context.
fn timer_takes_no_sleeping_lock_in_hard_interrupt() -> Outcome {
    const PORT: u32 = 7;
    lockdep_is_on()?;
    let machine = Machine::new(Abi::Bits64)?;
    let mut log = kernel_log()?;
    let mut timer = Payload::default();
    timer[0] = u64::from(PORT) | (u64::from(PRIORITY) << 32);
    timer[1] = machine.vm.fd.get_clock()?.clock + 20_000_000;
    machine.vcpus[0].set_attr(KVM_XEN_VCPU_ATTR_TYPE_TIMER, timer)?;
    // It fires, and whoever it has interrupted writes the report and goes on.
    sleep(Duration::from_millis(220));
    // Under PREEMPT_RT the event may be left to the vCPU, or to whoever reads the timer.
    eventually("a timer that has fired", || {
        let timer = machine.vcpus[0].attr(KVM_XEN_VCPU_ATTR_TYPE_TIMER);
        timer.is_ok_and(|timer| timer[1] == 0) && machine.shared_info().pending(PORT)
    })?;
    for record in records(&mut log)? {
        if record.contains(REPORT) {
            return Err(fail(format!("lockdep reports: {record}")));
        }
    }
    Ok(())
}

topic! { "lockdep";
    once timer_takes_no_sleeping_lock_in_hard_interrupt
        better_in_rust("a timer takes a sleeping lock in hard interrupt context"),
}

#[cfg(test)]
mod tests {
    use super::is_on;

    #[test]
    fn lockdep_says_whether_it_is_on() {
        let stats = " lock-classes:    1024 [max: 8192]\n debug_locks:      1\n";
        assert_eq!(is_on(stats), Some(true));
        assert_eq!(is_on(&stats.replace(" 1\n", " 0\n")), Some(false));
        assert_eq!(is_on(" lock-classes: 3\n"), None);
    }
}
