// SPDX-License-Identifier: GPL-2.0
//! SCHEDOP_poll's timeout as Xen takes it: a moment of the guest's system time. For a module that
//! was inserted with xen_poll_timeout=1.

use std::time::Duration;

use crate::topic;
use harness::abi::Abi;
use harness::check::check;
use harness::machine::Machine;
use harness::outcome::Outcome;
use harness::poll::{poll_ends, polling_guest, ASLEEP, AWAKE};

const MS: u64 = 1_000_000;

/// A guest that polls for port 5, which is masked, and its system time.
fn guest(abi: Abi) -> Outcome<(Machine, u64)> {
    let machine = polling_guest(abi, &[0])?;
    machine.shared_info().set_masked(5, true);
    let now = machine.vm.fd.get_clock()?.clock;
    Ok((machine, now))
}

/// A moment to come ends a poll when it is there. For KVM's own meaning it would be a span: as long
/// as the guest has been running, and some.
fn moment_ends_a_poll(abi: Abi) -> Outcome {
    let (mut machine, _) = guest(abi)?;
    // A guest that has run for a while has a moment that is well past any span it would ask for.
    std::thread::sleep(Duration::from_millis(300));
    let now = machine.vm.fd.get_clock()?.clock;
    let poll = machine.begin_poll(&[5], now + 150 * MS)?;
    let time = poll_ends(poll, &mut machine, AWAKE)?;
    check(
        format!(
            "a poll until 150 ms from now, not for {} ms",
            time.as_millis()
        ),
        (Duration::from_millis(100)..Duration::from_millis(400)).contains(&time),
    )
}

/// A moment that is past ends a poll at once: as a span it would be an hour.
fn moment_that_is_past_returns_at_once(abi: Abi) -> Outcome {
    let (mut machine, _) = guest(abi)?;
    // A guest's clock may be set far ahead, as by a migration.
    let mut clock = machine.vm.fd.get_clock()?;
    clock.clock = 7_200_000 * MS;
    clock.flags = 0;
    machine.vm.fd.set_clock(&clock)?;
    let poll = machine.begin_poll(&[5], 3_600_000 * MS)?;
    poll_ends(poll, &mut machine, AWAKE)?;
    Ok(())
}

/// 0 is no moment: the poll goes on until the event.
fn none_waits_for_the_event(abi: Abi) -> Outcome {
    let (mut machine, _) = guest(abi)?;
    let poll = machine.begin_poll(&[5], 0)?;
    poll.stays(ASLEEP)?;
    machine.vm.send(5, 0)?;
    poll_ends(poll, &mut machine, AWAKE)?;
    Ok(())
}

topic! { "poll_timeout";
    each_abi moment_ends_a_poll,
    each_abi moment_that_is_past_returns_at_once,
    each_abi none_waits_for_the_event,
}
