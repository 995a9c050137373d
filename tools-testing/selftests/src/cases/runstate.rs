// SPDX-License-Identifier: GPL-2.0
//! Runstates: how a vCPU's time is accounted, and told to the guest.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kvm_bindings::{
    kvm_clock_data, KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADJUST as RUNSTATE_ADJUST,
    KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_DATA as RUNSTATE_DATA,
};
use nix::errno::Errno;

use crate::side::Side;
use crate::topic;
use harness::abi::runstate::*;
use harness::abi::{Abi, PAGE_SIZE};
use harness::attr::INVALID_GPA;
use harness::check::{check, check_eq, check_err};
use harness::guest_code::Entry;
use harness::host::{go_first, pin};
use harness::machine::{Machine, SPARE_PAGE};
use harness::memory::{Area, AREA_PAGES, NO_MEMORY_GPA};
use harness::outcome::{fail, Outcome};
use harness::runstate::*;

/// The structure is written as soon as KVM knows the address.
fn address_reads_back_and_is_filled(abi: Abi) -> Outcome {
    let machine = Machine::new(abi)?;
    let vcpu = &machine.vcpus[0];
    enter(vcpu, BLOCKED)?;
    for offset in [OFFSET, 1, PAGE_SIZE - 20] {
        refill(&machine)?;
        let gpa = Area::gpa(SPARE_PAGE, offset);
        set_address(vcpu, gpa)?;
        check_eq("RUNSTATE_ADDR", address(vcpu), Ok(gpa))?;
        let runstate = check_same(&machine, offset)?;
        check_eq("sum of times", runstate.sum(), runstate.entry_time)?;
    }
    Ok(())
}

/// KVM_XEN_INVALID_GPA takes it away: there is none to read, and none is written.
fn invalid_address_disables(abi: Abi) -> Outcome {
    let mut machine = guest(abi, PAGE_SIZE - 20)?;
    set_address(&machine.vcpus[0], INVALID_GPA)?;
    check_err("RUNSTATE_ADDR", address(&machine.vcpus[0]), Errno::ENOENT)?;
    let before = machine.image();
    enter(&machine.vcpus[0], BLOCKED)?;
    machine.vcpus[0].complete(Entry::Cpuid)?;
    before.check_but_clocks(&machine.area)
}

/// A bad address is refused, and the one before is gone with it, as KVM has it.
fn bad_address_is_efault_and_disables(abi: Abi) -> Outcome {
    let second_page_missing = Area::gpa(AREA_PAGES - 1, PAGE_SIZE - 20);
    for bad in [NO_MEMORY_GPA, second_page_missing] {
        let machine = guest(abi, OFFSET)?;
        let vcpu = &machine.vcpus[0];
        let before = machine.image();
        check_err(format!("{bad:#x}"), set_address(vcpu, bad), Errno::EFAULT)?;
        check_err("RUNSTATE_ADDR", address(vcpu), Errno::ENOENT)?;
        before.check(&machine.area)?;
    }
    Ok(())
}

/// However often a vCPU runs, its times add up to the time there was.
fn times_add_up_when_it_runs(abi: Abi) -> Outcome {
    let mut machine = guest(abi, OFFSET)?;
    let mut last = 0;
    for _ in 0..20 {
        machine.vcpus[0].complete(Entry::Cpuid)?;
        let runstate = check_same(&machine, OFFSET)?;
        check_eq("sum of times", runstate.sum(), runstate.entry_time)?;
        let now = machine.vm.fd.get_clock()?.clock;
        check(
            format!("{last} <= {} <= {now}", runstate.entry_time),
            (last..=now).contains(&runstate.entry_time),
        )?;
        last = runstate.entry_time;
    }
    Ok(())
}

/// Time that the VMM calls blocked is blocked until the vCPU runs.
fn blocked_time_ends_when_it_runs(abi: Abi) -> Outcome {
    let mut machine = guest(abi, OFFSET)?;
    machine.vcpus[0].complete(Entry::Cpuid)?;
    enter(&machine.vcpus[0], BLOCKED)?;
    let before = in_memory(&machine, OFFSET)?;
    thread::sleep(Duration::from_millis(30));
    machine.vcpus[0].complete(Entry::Cpuid)?;
    let after = check_same(&machine, OFFSET)?;
    let blocked = after.times[BLOCKED as usize] - before.times[BLOCKED as usize];
    check(
        format!("30 ms blocked, not {blocked} ns"),
        blocked >= 30_000_000,
    )?;
    check("no more blocked", after.state != BLOCKED)
}

/// Keeps the CPU busy.
fn spin(stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        std::hint::spin_loop();
    }
}

/// Time for which another thread has the CPU is runnable, not running.
fn stolen_time_is_runnable(abi: Abi) -> Outcome {
    let mut machine = guest(abi, OFFSET)?;
    pin(0)?;
    machine.vcpus[0].complete(Entry::Cpuid)?;
    let before = in_kvm(&machine.vcpus[0])?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        // Threads inherit the CPU.
        scope.spawn(|| spin(&stop));
        let start = Instant::now();
        let mut result = Ok(());
        while result.is_ok() && start.elapsed() < Duration::from_millis(300) {
            result = machine.vcpus[0].complete(Entry::Cpuid);
        }
        stop.store(true, Ordering::Relaxed);
        result
    })?;
    machine.vcpus[0].complete(Entry::Cpuid)?;
    let after = check_same(&machine, OFFSET)?;
    let stolen = after.times[RUNNABLE as usize] - before.times[RUNNABLE as usize];
    check(
        format!("at least 30 ms of 300 stolen, not {stolen} ns"),
        stolen >= 30_000_000,
    )?;
    check_eq("sum of times", after.sum(), after.entry_time)
}

/// A vCPU that is preempted has its runstate's pages while they move. Whoever moves them may come to
/// wait for the vCPU, which then wakes nobody: the scheduler holds the lock of its run queue.
fn preempted_while_its_pages_move(abi: Abi) -> Outcome {
    for offset in [OFFSET, PAGE_SIZE - 20] {
        let mut machine = guest(abi, offset)?;
        let (area, vcpu) = (&machine.area, &mut machine.vcpus[0]);
        let stop = AtomicBool::new(false);
        let go_on = || !stop.load(Ordering::Relaxed);
        thread::scope(|scope| {
            scope.spawn(|| {
                // Whenever it wakes the vCPU is preempted.
                if pin(0).and_then(|()| go_first()).is_ok() {
                    while go_on() {
                        thread::sleep(Duration::from_micros(200));
                    }
                }
            });
            let moves = scope.spawn(|| -> Outcome {
                pin(1)?;
                while go_on() {
                    area.discard(SPARE_PAGE)?;
                    thread::sleep(Duration::from_micros(500));
                }
                Ok(())
            });
            let mut run = || -> Outcome {
                pin(0)?;
                let start = Instant::now();
                while start.elapsed() < Duration::from_millis(1500) {
                    vcpu.complete(Entry::Cpuid)?;
                }
                Ok(())
            };
            let ran = run();
            stop.store(true, Ordering::Relaxed);
            let moved = moves.join().expect("does not panic");
            ran.and(moved)
        })?;
        machine.vcpus[0].complete(Entry::Cpuid)?;
        let after = check_same(&machine, offset)?;
        // C accounts twice for a vCPU that is preempted while it accounts, now and then.
        if Side::detect() == Side::Rust {
            check_eq("sum of times", after.sum(), after.entry_time)?;
        }
    }
    Ok(())
}

/// A page that was swapped out, or is new, is brought in.
fn discarded_page_is_brought_in(abi: Abi) -> Outcome {
    for offset in [OFFSET, PAGE_SIZE - 20] {
        for page in [SPARE_PAGE, SPARE_PAGE + 1] {
            let mut machine = guest(abi, offset)?;
            enter(&machine.vcpus[0], BLOCKED)?;
            machine.area.discard(page)?;
            enter(&machine.vcpus[0], OFFLINE)?;
            check_same(&machine, offset)?;
            machine.area.discard(page)?;
            machine.vcpus[0].complete(Entry::Cpuid)?;
            check_same(&machine, offset)?;
        }
    }
    Ok(())
}

/// While memory is away time goes on; when it is back all of it is told.
fn time_goes_on_while_memory_is_away(abi: Abi) -> Outcome {
    for offset in [OFFSET, PAGE_SIZE - 20] {
        let mut machine = guest(abi, offset)?;
        enter(&machine.vcpus[0], BLOCKED)?;
        let before = in_memory(&machine, offset)?;
        Area::detach(&machine.vm)?;
        machine.vcpus[0].complete(Entry::Cpuid)?;
        enter(&machine.vcpus[0], BLOCKED)?;
        thread::sleep(Duration::from_millis(10));
        check_eq("runstate while away", in_memory(&machine, offset)?, before)?;
        machine.area.attach(&machine.vm)?;
        machine.vcpus[0].complete(Entry::Cpuid)?;
        let after = check_same(&machine, offset)?;
        check_eq("sum of times", after.sum(), after.entry_time)?;
        let blocked = after.times[BLOCKED as usize] - before.times[BLOCKED as usize];
        check(
            format!("10 ms blocked, not {blocked} ns"),
            blocked >= 10_000_000,
        )?;
    }
    Ok(())
}

/// What the VMM adds is in guest memory at once.
fn adjustment_is_written(abi: Abi) -> Outcome {
    for offset in [OFFSET, PAGE_SIZE - 20] {
        let machine = guest(abi, offset)?;
        let vcpu = &machine.vcpus[0];
        vcpu.set_attr(RUNSTATE_DATA, [2, 10, 1, 2, 3, 4, 0, 0])?;
        let adjust = [u64::MAX, 100, 10, 20, 30, 40, 0, 0];
        vcpu.set_attr(RUNSTATE_ADJUST, adjust)?;
        let expected = Runstate {
            state: BLOCKED,
            entry_time: 110,
            times: [11, 22, 33, 44],
        };
        check_eq("runstate", in_memory(&machine, offset)?, expected)?;
    }
    Ok(())
}

/// What a clock does to a runstate takes a moment in which nobody else changes it.
const MOMENTS: usize = 10;

fn set_clock(machine: &Machine, nanoseconds: u64) -> Outcome {
    machine.vm.fd.set_clock(&kvm_clock_data {
        clock: nanoseconds,
        ..Default::default()
    })?;
    Ok(())
}

/// The time since a state was entered is the state's, when the clock gets there again.
fn clock_that_went_backwards_accounts_nothing(abi: Abi) -> Outcome {
    const SECOND: u64 = 1_000_000_000;
    for _ in 0..MOMENTS {
        let machine = guest(abi, OFFSET)?;
        let vcpu = &machine.vcpus[0];
        set_clock(&machine, 10 * SECOND)?;
        enter(vcpu, BLOCKED)?;
        let before = in_kvm(vcpu)?;
        set_clock(&machine, SECOND)?;
        enter(vcpu, OFFLINE)?;
        let back = in_memory(&machine, OFFSET)?;
        set_clock(&machine, 20 * SECOND)?;
        enter(vcpu, BLOCKED)?;
        let caught_up = in_memory(&machine, OFFSET)?;
        if [before.state, back.state, caught_up.state] != [BLOCKED, OFFLINE, BLOCKED] {
            // Preempted.
            continue;
        }
        let offline = Runstate {
            state: OFFLINE,
            ..before
        };
        check_eq("runstate before its beginning", back, offline)?;
        check_eq("sum of times", caught_up.sum(), caught_up.entry_time)?;
        let mut times = before.times;
        times[OFFLINE as usize] += caught_up.entry_time - before.entry_time;
        return check_eq("times when the clock has caught up", caught_up.times, times);
    }
    Err(fail("preempted each time"))
}

/// How long the calling thread has waited for a CPU, in nanoseconds.
fn run_delay() -> Outcome<u64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let delay = stat.split_whitespace().nth(1);
    Ok(delay.ok_or_else(|| fail("no schedstat"))?.parse()?)
}

/// Has the calling thread wait for a CPU.
fn wait_for_cpu(time: Duration) -> Outcome {
    pin(0)?;
    let stop = AtomicBool::new(false);
    let until = run_delay()? + time.as_nanos() as u64;
    thread::scope(|scope| {
        scope.spawn(|| spin(&stop));
        let mut now = run_delay();
        while now.as_ref().is_ok_and(|now| *now < until) {
            now = run_delay();
        }
        stop.store(true, Ordering::Relaxed);
        now.map(|_| ())
    })
}

/// A thread can have waited for longer than the clock says that there was.
fn no_more_is_stolen_than_went_by(abi: Abi) -> Outcome {
    for _ in 0..MOMENTS {
        let machine = guest(abi, OFFSET)?;
        let vcpu = &machine.vcpus[0];
        enter(vcpu, RUNNING)?;
        let waited = run_delay()?;
        let before = in_memory(&machine, OFFSET)?;
        wait_for_cpu(Duration::from_millis(200))?;
        set_clock(&machine, before.entry_time + 1_000_000)?;
        let waited = run_delay()? - waited;
        enter(vcpu, BLOCKED)?;
        let after = in_memory(&machine, OFFSET)?;
        let spent = after.entry_time.wrapping_sub(before.entry_time);
        if before.state != RUNNING || after.state != BLOCKED || spent >= waited {
            continue;
        }
        check_eq("sum of times", after.sum(), after.entry_time)?;
        let mut times = before.times;
        times[RUNNABLE as usize] += spent;
        return check_eq("times", after.times, times);
    }
    Err(fail("preempted each time"))
}

/// A thread may run the vCPU that has waited for less than the one before.
fn time_of_another_thread_is_not_stolen(abi: Abi) -> Outcome {
    for _ in 0..MOMENTS {
        let machine = guest(abi, OFFSET)?;
        let vcpu = &machine.vcpus[0];
        wait_for_cpu(Duration::from_millis(200))?;
        enter(vcpu, RUNNING)?;
        let before = in_memory(&machine, OFFSET)?;
        let waited = run_delay()?;
        let other = thread::scope(|scope| {
            let other = scope.spawn(|| {
                enter(vcpu, BLOCKED)?;
                run_delay()
            });
            other.join().expect("no panic")
        })?;
        let after = in_memory(&machine, OFFSET)?;
        if before.state != RUNNING || after.state != BLOCKED || other >= waited {
            continue;
        }
        check_eq("sum of times", after.sum(), after.entry_time)?;
        let mut times = before.times;
        times[RUNNING as usize] += after.entry_time - before.entry_time;
        return check_eq("times", after.times, times);
    }
    Err(fail("preempted each time"))
}

topic! { "runstate";
    each_abi address_reads_back_and_is_filled,
    each_abi invalid_address_disables,
    each_abi bad_address_is_efault_and_disables,
    each_abi times_add_up_when_it_runs,
    each_abi blocked_time_ends_when_it_runs,
    each_abi stolen_time_is_runnable,
    each_abi preempted_while_its_pages_move,
    each_abi discarded_page_is_brought_in,
    each_abi time_goes_on_while_memory_is_away,
    each_abi adjustment_is_written,
    each_abi clock_that_went_backwards_accounts_nothing
        better_in_rust("a clock that goes backwards makes a state as long as can be")
        until(RunstateClockBackwards),
    each_abi no_more_is_stolen_than_went_by
        better_in_rust("time is stolen that never was")
        until(RunstateClockBackwards),
    each_abi time_of_another_thread_is_not_stolen
        better_in_rust("a thread that has waited for less steals less than nothing")
        until(RunstateClockBackwards),
}
