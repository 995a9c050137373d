// SPDX-License-Identifier: GPL-2.0
//! A guest with every kind of event, each a number of times of its own.

use super::counters;
use super::ftrace::Trace;
use super::running::Running;
use harness::abi::Abi;
use harness::attr::timer;
use harness::check::{check, check_eq, check_err, eventually};
use harness::guest_code::Entry;
use harness::host::preempt_rt;
use harness::machine::{Machine, SHARED_INFO_PAGE};
use harness::outcome::{Outcome, Stop};
use harness::poll::{poll_ends, polling_guest, ASLEEP, AWAKE};
use harness::vcpu::Exit;
use kvm_bindings::KVM_XEN_VCPU_ATTR_TYPE_TIMER;
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Instant;
use top::events::{TIMER_LATE, WOKEN_AFTER};

const MS: u64 = 1_000_000;

/// The number of the second vCPU, whose index is 1.
const SECOND: u32 = 5;

/// A vCPU that there is none of.
const MISSING: u32 = 9;

/// The port of timers, which nothing else uses.
const TIMER: u32 = 30;

/// Runs it.
pub fn run(top: &Path) -> Outcome {
    let trace = Trace::new()?;
    let counters = counters::begin(&trace)?;
    let running = Running::new(top)?;
    let sent = send_all(&trace);
    let lines = running.stop()?;
    let traced = trace.lines()?;
    traced
        .iter()
        .chain(&lines)
        .for_each(|line| println!("{line}"));
    compare(&lines, &sent?)?;
    counters::compare(&trace, &counters)?;
    refuses(top)
}

/// How long things took, in nanoseconds, by what the test itself has measured.
struct Spans {
    /// The poll that was woken.
    woken: RangeInclusive<u64>,
    /// The timer that was latest.
    late: RangeInclusive<u64>,
}

/// The words of a row that are no spans; these apart, by name.
fn without_spans(row: &str) -> (String, BTreeMap<&str, u64>) {
    let words = row.split(' ');
    let (spans, counts): (Vec<_>, Vec<_>) = words.partition(|word| word.contains("-ns-"));
    let spans = spans.into_iter().filter_map(|span| {
        let (name, ns) = span.split_once('=')?;
        Some((name, ns.parse().ok()?))
    });
    (counts.join(" "), spans.collect())
}

/// A power of two that is not below a span, and less than twice as much.
fn fits(shown: &BTreeMap<&str, u64>, name: &str, took: &RangeInclusive<u64>) -> Outcome {
    let bound = shown.get(name).copied().unwrap_or(0);
    check(
        format!("{name}={bound} to be of {took:?}"),
        bound >= *took.start() && bound / 2 < *took.end(),
    )
}

/// All that was sent, and that only, of the two VMs.
fn compare(lines: &[String], took: &Spans) -> Outcome {
    let pid = std::process::id();
    let (first, rest) = lines
        .split_first()
        .ok_or_else(|| Stop::Fail("no lines".into()))?;
    check(
        format!("a first line that says who serves: {first}"),
        first.ends_with("side=rust dropped=0"),
    )?;
    let (mut names, mut rows, mut spans) = (Vec::new(), Vec::new(), BTreeMap::new());
    for line in rest {
        let (name, row) = line.split_once(' ').unwrap_or((line, ""));
        let (row, of_row) = without_spans(row);
        names.push(name.to_owned());
        rows.push(row);
        spans.extend(of_row);
    }
    names.sort();
    names.dedup();
    check_eq(
        "VMs",
        names,
        vec![format!("vm={pid}"), format!("vm={pid}.2")],
    )?;
    rows.sort();
    let (kick, in_time) = match preempt_rt() {
        true => (34, 1),
        false => (35, 2),
    };
    let mut expected = vec![
        "refresh-failed=1 refreshed=3".to_owned(),
        "vcpu=0 interrupt=2".to_owned(),
        format!(
            "vcpu=0 coalesced=20 failed=1 kick={kick} masked=11 not-now=5 poll-begins=3 poll-pending=1 \
             poll-timed-out=1 poll-woken=1 raised=7 timer-deferred=1 timer-in-time={in_time} \
             timer-later=1 waited=4"
        ),
        "vcpu=5 interrupt=4".to_owned(),
        "vcpu=9 failed=3".to_owned(),
    ];
    expected.sort();
    check_eq("what was counted", rows, expected)?;
    for quantile in ["median", "99"] {
        fits(&spans, &format!("{WOKEN_AFTER}-{quantile}"), &took.woken)?;
    }
    fits(&spans, &format!("{TIMER_LATE}-99"), &took.late)?;
    check_eq("spans that are shown", spans.len(), 4)
}

fn send_all(trace: &Trace) -> Outcome<Spans> {
    let mut machine = polling_guest(Abi::Bits64, &[0, SECOND])?;
    delivered(&machine)?;
    refused(&machine)?;
    waited_for(&machine)?;
    lost(&machine)?;
    let woken = polls(&mut machine, trace)?;
    let late = timers(&mut machine)?;
    let exit = machine.vcpus[0].hypercall(counters::UNKNOWN_HYPERCALL, &[])?;
    check(
        format!("{exit:?} to be left to the VMM"),
        matches!(exit, Exit::Hypercall(_)),
    )?;
    let exit = machine.vcpus[0].return_to_guest(0)?;
    check_eq("exit", exit, Exit::Done)?;
    // Another one of the same process.
    let other = Machine::new(Abi::Bits32)?;
    other.vcpus[0].set_upcall_vector(0x62)?;
    for _ in 0..2 {
        other.clear_events();
        other.vm.send(5, 0)?;
    }
    Ok(Spans { woken, late })
}

/// 30 kicks, 20 coalesced, 10 masked, 7 raised; 4 interrupts of the second vCPU.
fn delivered(machine: &Machine) -> Outcome {
    let again = |port: u32, vcpu: u32, times: u32, before: &dyn Fn()| {
        (0..times).try_for_each(|_| {
            before();
            machine.vm.send(port, vcpu)
        })
    };
    again(5, 0, 30, &|| machine.clear_events())?;
    again(5, 0, 20, &|| {})?;
    machine.clear_events();
    machine.shared_info().set_masked(6, true);
    again(6, 0, 10, &|| machine.shared_info().set_pending(6, false))?;
    machine.vcpu_info(0).set_pending_sel(1);
    again(7, 0, 7, &|| machine.shared_info().set_pending(7, false))?;
    machine.vcpus[1].set_upcall_vector(0x72)?;
    again(8, SECOND, 4, &|| machine.clear_events())?;
    Ok(())
}

/// 3 failures.
fn refused(machine: &Machine) -> Outcome {
    for _ in 0..3 {
        check_err("send", machine.vm.send(5, MISSING), Errno::EINVAL)?;
    }
    Ok(())
}

/// One that is not now, and then a kick; a page.
fn waited_for(machine: &Machine) -> Outcome {
    machine.clear_events();
    machine.area.discard(SHARED_INFO_PAGE)?;
    Ok(machine.vm.send(9, 0)?)
}

/// One that is not now, and then fails, as there is no page; and, when there is one again, as
/// above.
fn lost(machine: &Machine) -> Outcome {
    machine.area.unmap(SHARED_INFO_PAGE)?;
    check_err("send", machine.vm.send(9, 0), Errno::EFAULT)?;
    machine.area.map(SHARED_INFO_PAGE)?;
    machine.clear_events();
    Ok(machine.vm.send(9, 0)?)
}

/// Polls that find a port pending, are woken by a masked one, and time out; returns how long the
/// second has lasted.
fn polls(machine: &mut Machine, trace: &Trace) -> Outcome<RangeInclusive<u64>> {
    let port = 20;
    machine.clear_events();
    machine.shared_info().set_masked(port, true);
    machine.shared_info().set_pending(port, true);
    let poll = machine.begin_poll(&[port], 0)?;
    poll_ends(poll, machine, AWAKE)?;

    machine.shared_info().set_pending(port, false);
    let before = Instant::now();
    let poll = machine.begin_poll(&[port], 0)?;
    eventually("the second poll to begin", || {
        let lines = trace.lines().unwrap_or_default();
        lines
            .iter()
            .filter(|line| line.contains(": begins"))
            .count()
            == 2
    })?;
    let begun = Instant::now();
    poll.stays(ASLEEP)?;
    let at_least = begun.elapsed();
    machine.vm.send(port, 0)?;
    poll_ends(poll, machine, AWAKE)?;
    let at_most = before.elapsed();

    let poll = machine.begin_poll(&[port + 1], 5 * MS)?;
    poll_ends(poll, machine, AWAKE)?;
    Ok(at_least.as_nanos() as u64..=at_most.as_nanos() as u64)
}

/// A timer that is past, one that fires while the page is away, and one that fires in its time:
/// three kicks. Returns by how much the second was late, whose time came with the VM.
fn timers(machine: &mut Machine) -> Outcome<RangeInclusive<u64>> {
    machine.clear_events();
    set_timer(machine, 1)?;
    check("the first timer", machine.shared_info().pending(TIMER))?;

    machine.clear_events();
    machine.area.forbid(SHARED_INFO_PAGE)?;
    set_timer(machine, 1)?;
    machine.area.permit(SHARED_INFO_PAGE)?;
    let at_least = machine.vm.fd.get_clock()?.clock;
    machine.vcpus[0].complete(Entry::Cpuid)?;
    check("the second timer", machine.shared_info().pending(TIMER))?;

    // In a hard interrupt, where nothing can be delivered under PREEMPT_RT.
    if !preempt_rt() {
        machine.clear_events();
        let now = machine.vm.fd.get_clock()?.clock;
        set_timer(machine, now + 5 * MS)?;
        eventually("the third timer", || machine.shared_info().pending(TIMER))?;
    }
    Ok(at_least - 1..=machine.vm.fd.get_clock()?.clock)
}

fn set_timer(machine: &Machine, expires: u64) -> Outcome {
    Ok(machine.vcpus[0].set_attr(KVM_XEN_VCPU_ATTR_TYPE_TIMER, timer(TIMER, expires))?)
}

/// What can't be done is said in a line, and it has failed.
fn refuses(top: &Path) -> Outcome {
    for arguments in [["--interval=0"], ["--count=0"]] {
        let output = std::process::Command::new(top).args(arguments).output()?;
        check_eq(arguments[0], output.status.code(), Some(2))?;
    }
    let once = std::process::Command::new(top)
        .args(["--once", "--interval=0.1"])
        .output()?;
    check("kvm-xen-top --once", once.status.success())
}
