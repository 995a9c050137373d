// SPDX-License-Identifier: GPL-2.0
//! struct vcpu_runstate_info in guest memory: what is written, where, and how a
//! guest can read it while it changes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kvm_bindings::*;
use nix::errno::Errno;
use vm_memory::{Bytes, VolatileMemory};

use crate::abi::runstate::*;
use crate::abi::{Abi, PAGE_SIZE};
use crate::harness::attr::{Payload, INVALID_GPA};
use crate::harness::check::{check, check_eq, check_err};
use crate::harness::guest_code::Entry;
use crate::harness::machine::{Machine, SPARE_PAGE};
use crate::harness::memory::{Area, AREA_PAGES, NO_MEMORY_GPA};
use crate::harness::outcome::{fail, Outcome};
use crate::harness::vcpu::Vcpu;
use crate::topic;

use KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADDR as RUNSTATE_ADDR;
use KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADJUST as RUNSTATE_ADJUST;
use KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_CURRENT as RUNSTATE_CURRENT;
use KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_DATA as RUNSTATE_DATA;

/// What pages are filled with before KVM writes.
const FILL: u8 = 0xa5;
/// Where a runstate is, unless a case wants it elsewhere.
const OFFSET: usize = 0x100;
/// The scheduler may change a runstate between two looks at it.
const TRIES: usize = 5;

fn one(value: u64) -> Payload {
    [value, 0, 0, 0, 0, 0, 0, 0]
}

fn set_address(vcpu: &Vcpu, gpa: u64) -> nix::Result<()> {
    vcpu.set_attr(RUNSTATE_ADDR, one(gpa))
}

fn address(vcpu: &Vcpu) -> nix::Result<u64> {
    Ok(vcpu.attr(RUNSTATE_ADDR)?[0])
}

fn enter(vcpu: &Vcpu, state: u32) -> Outcome {
    Ok(vcpu.set_attr(RUNSTATE_CURRENT, one(state.into()))?)
}

/// The runstate as KVM has it.
fn in_kvm(vcpu: &Vcpu) -> Outcome<Runstate> {
    let data = vcpu.attr(RUNSTATE_DATA)?;
    Ok(Runstate {
        state: data[0] as u32,
        entry_time: data[1],
        times: [data[2], data[3], data[4], data[5]],
    })
}

/// The runstate as the guest has it, at an offset in [`SPARE_PAGE`].
fn in_memory(machine: &Machine, offset: usize) -> Outcome<Runstate> {
    Ok(Runstate::parse(machine.abi, &bytes_at(machine, offset)?))
}

fn bytes_at(machine: &Machine, offset: usize) -> Outcome<Vec<u8>> {
    let mut bytes = vec![0; machine.abi.runstate_size()];
    let slice = machine.area.slice(SPARE_PAGE, offset, bytes.len());
    slice.read_slice(&mut bytes, 0)?;
    Ok(bytes)
}

/// Fails unless the guest has what KVM has.
#[track_caller]
fn check_same(machine: &Machine, offset: usize) -> Outcome<Runstate> {
    let mut last = None;
    for _ in 0..TRIES {
        let before = in_kvm(&machine.vcpus[0])?;
        let memory = in_memory(machine, offset)?;
        if memory == before {
            return Ok(memory);
        }
        last = Some((before, memory));
    }
    Err(fail(format!("KVM and guest memory differ: {last:?}")))
}

fn refill(machine: &Machine) -> Outcome {
    let slice = machine.area.slice(SPARE_PAGE, 0, 2 * PAGE_SIZE);
    Ok(slice.write_slice(&[FILL; 2 * PAGE_SIZE], 0)?)
}

/// A guest with its runstate at `offset`, ready to run.
fn guest(abi: Abi, offset: usize) -> Outcome<Machine> {
    let mut machine = Machine::new(abi)?;
    machine.boot(0)?;
    set_address(&machine.vcpus[0], Area::gpa(SPARE_PAGE, offset))?;
    Ok(machine)
}

/// Offsets at which the structure ends in the second page, and those beside.
fn splits(abi: Abi) -> impl Iterator<Item = usize> {
    PAGE_SIZE - abi.runstate_size() - 1..PAGE_SIZE
}

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
        scope.spawn(|| while !stop.load(Ordering::Relaxed) {});
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

/// At any offset, with the flag and without: right values, and no byte beside
/// them; the padding of 64-bit guests has nothing of the kernel's.
fn any_split_is_written_exactly(abi: Abi) -> Outcome {
    let machine = Machine::new(abi)?;
    let vcpu = &machine.vcpus[0];
    let size = abi.runstate_size();
    for flag in [0, 1] {
        machine.vm.set_runstate_update_flag(flag)?;
        for offset in splits(abi) {
            refill(&machine)?;
            set_address(vcpu, Area::gpa(SPARE_PAGE, offset))?;
            enter(vcpu, BLOCKED)?;
            check_same(&machine, offset)?;
            let what = format!("offset {offset:#x}, flag {flag}");
            let bytes = bytes_at(&machine, offset)?;
            let padding = &bytes[4..abi.runstate_entry_offset()];
            check(
                format!("{what}: padding as it was or 0, not {padding:x?}"),
                padding.iter().all(|byte| [0, FILL].contains(byte)),
            )?;
            let mut pages = vec![0; 2 * PAGE_SIZE];
            let slice = machine.area.slice(SPARE_PAGE, 0, pages.len());
            slice.read_slice(&mut pages, 0)?;
            let outside = (0..pages.len()).filter(|at| !(offset..offset + size).contains(at));
            let stray: Vec<_> = outside.filter(|at| pages[*at] != FILL).collect();
            check_eq(format!("{what}: stray bytes"), stray, vec![])?;
        }
    }
    Ok(())
}

/// The same when the vCPU runs, which is another way to the same code.
fn any_split_is_written_when_it_runs(abi: Abi) -> Outcome {
    let mut machine = Machine::new(abi)?;
    machine.boot(0)?;
    machine.vm.set_runstate_update_flag(1)?;
    for offset in splits(abi).step_by(5) {
        set_address(&machine.vcpus[0], Area::gpa(SPARE_PAGE, offset))?;
        enter(&machine.vcpus[0], OFFLINE)?;
        machine.vcpus[0].complete(Entry::Cpuid)?;
        let runstate = check_same(&machine, offset)?;
        check(
            format!("offset {offset:#x}: a new state"),
            runstate.state != OFFLINE,
        )?;
        check_eq("sum of times", runstate.sum(), runstate.entry_time)?;
    }
    Ok(())
}

/// Reads as a guest does: while the flag is clear and the entry time stays.
fn read_as_guest(
    machine_abi: Abi,
    area: &Area,
    offset: usize,
    aligned: bool,
) -> Outcome<Option<Runstate>> {
    let entry_at = offset + machine_abi.runstate_entry_offset();
    let entry = || -> Outcome<u64> {
        if aligned {
            let page = area.slice(SPARE_PAGE, 0, 2 * PAGE_SIZE);
            let entry: &AtomicU64 = page.get_atomic_ref(entry_at)?;
            return Ok(entry.load(Ordering::SeqCst));
        }
        // The flag is in the last byte: it is read first and last.
        let slice = area.slice(SPARE_PAGE, entry_at, 8);
        let flag: u8 = slice.load(7, Ordering::SeqCst)?;
        let mut bytes = [0; 8];
        slice.read_slice(&mut bytes, 0)?;
        let again: u8 = slice.load(7, Ordering::SeqCst)?;
        let word = u64::from_le_bytes(bytes);
        Ok(if (flag | again) & 0x80 != 0 {
            word | UPDATE
        } else {
            word
        })
    };
    let before = entry()?;
    if before & UPDATE != 0 {
        return Ok(None);
    }
    let mut bytes = vec![0; machine_abi.runstate_size()];
    let slice = area.slice(SPARE_PAGE, offset, bytes.len());
    slice.read_slice(&mut bytes, 0)?;
    let runstate = Runstate::parse(machine_abi, &bytes);
    std::sync::atomic::fence(Ordering::SeqCst);
    Ok((entry()? == before).then_some(runstate))
}

/// A reader beside a vCPU that runs and changes its state never sees a mixture.
fn never_torn(abi: Abi, offset: usize) -> Outcome {
    let mut machine = guest(abi, offset)?;
    machine.vm.set_runstate_update_flag(1)?;
    let aligned = (offset + abi.runstate_entry_offset()) % 8 == 0;
    let stop = AtomicBool::new(false);
    let Machine { area, vcpus, .. } = &mut machine;
    let (consistent, writer) = thread::scope(|scope| {
        let stop = &stop;
        let vcpu = &mut vcpus[0];
        let writer = scope.spawn(move || -> Outcome {
            let mut state = RUNNING;
            while !stop.load(Ordering::Relaxed) {
                for _ in 0..20 {
                    state = (state + 1) % 4;
                    enter(vcpu, state)?;
                }
                vcpu.complete(Entry::Cpuid)?;
            }
            Ok(())
        });
        let start = Instant::now();
        let mut consistent = Ok(0);
        while start.elapsed() < Duration::from_millis(300) {
            match read_as_guest(abi, area, offset, aligned) {
                Ok(None) => {}
                Ok(Some(runstate)) if runstate.sum() == runstate.entry_time => {
                    if let Ok(count) = &mut consistent {
                        *count += 1;
                    }
                }
                Ok(Some(torn)) => {
                    consistent = Err(fail(format!("a torn runstate: {torn:?}")));
                    break;
                }
                Err(stop) => {
                    consistent = Err(stop);
                    break;
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
        (consistent, writer.join())
    });
    writer.map_err(|_| fail("the vCPU's thread panicked"))??;
    check("many good readings", consistent? > 100)?;
    check_eq(
        "flag at rest",
        in_memory(&machine, offset)?.entry_time & UPDATE,
        0,
    )
}

/// In one page.
fn reader_sees_no_torn_runstate(abi: Abi) -> Outcome {
    never_torn(abi, OFFSET + 8 - abi.runstate_entry_offset())
}

/// Across two pages, with the flag in the first and in the second.
fn reader_sees_no_torn_runstate_across_pages(abi: Abi) -> Outcome {
    let entry = abi.runstate_entry_offset();
    for offset in [PAGE_SIZE - entry - 16, PAGE_SIZE - entry - 4, PAGE_SIZE - 3] {
        never_torn(abi, offset)?;
    }
    Ok(())
}

/// The flag is only seen while KVM writes, and never if nobody asked for it.
fn flag_is_clear_at_rest(abi: Abi) -> Outcome {
    for flag in [0, 1] {
        for offset in [OFFSET, PAGE_SIZE - 11] {
            let mut machine = guest(abi, offset)?;
            machine.vm.set_runstate_update_flag(flag)?;
            for state in [BLOCKED, RUNNABLE, OFFLINE] {
                enter(&machine.vcpus[0], state)?;
                let entry = in_memory(&machine, offset)?.entry_time;
                check_eq("flag", entry & UPDATE, 0)?;
                machine.vcpus[0].complete(Entry::Cpuid)?;
                let entry = in_memory(&machine, offset)?.entry_time;
                check_eq("flag", entry & UPDATE, 0)?;
            }
        }
    }
    Ok(())
}

/// A guest that becomes 64-bit has a larger structure, now across two pages.
fn word_size_may_change_later() -> Outcome {
    let mut machine = Machine::new(Abi::Bits32)?;
    let offset = PAGE_SIZE - Abi::Bits32.runstate_size();
    refill(&machine)?;
    set_address(&machine.vcpus[0], Area::gpa(SPARE_PAGE, offset))?;
    machine.vm.set_long_mode(1)?;
    machine.abi = Abi::Bits64;
    refill(&machine)?;
    enter(&machine.vcpus[0], BLOCKED)?;
    let runstate = check_same(&machine, offset)?;
    check_eq("state", runstate.state, BLOCKED)?;
    // Back to one page, whatever is left in the second.
    machine.vm.set_long_mode(0)?;
    machine.abi = Abi::Bits32;
    refill(&machine)?;
    enter(&machine.vcpus[0], OFFLINE)?;
    check_same(&machine, offset)?;
    let first: u8 = machine.area.page(SPARE_PAGE + 1).read_obj(0)?;
    check_eq("second page", first, FILL)
}

/// The same when there is no second page: nothing can be written, and is not.
fn word_size_may_change_without_a_second_page() -> Outcome {
    let mut machine = Machine::new(Abi::Bits32)?;
    machine.boot(0)?;
    let offset = PAGE_SIZE - Abi::Bits32.runstate_size();
    set_address(&machine.vcpus[0], Area::gpa(AREA_PAGES - 1, offset))?;
    machine.vm.set_long_mode(1)?;
    let before = machine.image();
    enter(&machine.vcpus[0], BLOCKED)?;
    machine.vcpus[0].complete(Entry::Cpuid)?;
    before.check_but_clocks(&machine.area)?;
    machine.vm.set_long_mode(0)?;
    enter(&machine.vcpus[0], OFFLINE)?;
    check(
        "a write again",
        before.check_but_clocks(&machine.area).is_err(),
    )
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
    each_abi any_split_is_written_exactly,
    each_abi any_split_is_written_when_it_runs,
    each_abi reader_sees_no_torn_runstate,
    each_abi reader_sees_no_torn_runstate_across_pages,
    each_abi flag_is_clear_at_rest,
    once word_size_may_change_later,
    once word_size_may_change_without_a_second_page,
    each_abi discarded_page_is_brought_in,
    each_abi time_goes_on_while_memory_is_away,
    each_abi adjustment_is_written,
}
