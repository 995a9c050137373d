// SPDX-License-Identifier: GPL-2.0
//! Runstates: how a vCPU's time is accounted, and told to the guest.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kvm_bindings::{
    KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADJUST as RUNSTATE_ADJUST,
    KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_DATA as RUNSTATE_DATA,
};
use nix::errno::Errno;

use crate::abi::runstate::*;
use crate::abi::{Abi, PAGE_SIZE};
use crate::harness::attr::INVALID_GPA;
use crate::harness::check::{check, check_eq, check_err};
use crate::harness::guest_code::Entry;
use crate::harness::machine::{Machine, SPARE_PAGE};
use crate::harness::memory::{Area, AREA_PAGES, NO_MEMORY_GPA};
use crate::harness::outcome::Outcome;
use crate::harness::runstate::*;
use crate::topic;

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

/// Pins the calling thread to a CPU.
fn pin(cpu: usize) -> Outcome {
    // SAFETY: an empty set, then a bit in it; the call only reads it.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &set)
    };
    Errno::result(result)?;
    Ok(())
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
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
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

topic! { "runstate";
    each_abi address_reads_back_and_is_filled,
    each_abi invalid_address_disables,
    each_abi bad_address_is_efault_and_disables,
    each_abi times_add_up_when_it_runs,
    each_abi blocked_time_ends_when_it_runs,
    each_abi stolen_time_is_runnable,
    each_abi discarded_page_is_brought_in,
    each_abi time_goes_on_while_memory_is_away,
    each_abi adjustment_is_written,
}
