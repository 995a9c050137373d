// SPDX-License-Identifier: GPL-2.0
//! Runstates in guest memory: which bytes are written, and how a guest can read
//! them while they change.

use std::sync::atomic::{fence, AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use vm_memory::{Bytes, VolatileMemory};

use crate::side::Side;
use crate::topic;
use harness::abi::runstate::*;
use harness::abi::{Abi, PAGE_SIZE};
use harness::check::{check, check_eq};
use harness::guest_code::Entry;
use harness::machine::{Machine, SPARE_PAGE};
use harness::memory::{Area, AREA_PAGES};
use harness::outcome::{fail, Outcome};
use harness::runstate::*;

/// Offsets at which the structure ends in the second page, and those beside.
fn splits(abi: Abi) -> impl Iterator<Item = usize> {
    PAGE_SIZE - abi.runstate_size() - 1..PAGE_SIZE
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
fn read_as_guest(abi: Abi, area: &Area, offset: usize, aligned: bool) -> Outcome<Option<Runstate>> {
    let entry_at = offset + abi.runstate_entry_offset();
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
    let mut bytes = vec![0; abi.runstate_size()];
    let slice = area.slice(SPARE_PAGE, offset, bytes.len());
    slice.read_slice(&mut bytes, 0)?;
    let runstate = Runstate::parse(abi, &bytes);
    fence(Ordering::SeqCst);
    Ok((entry()? == before).then_some(runstate))
}

/// By how much the times are more than all that has passed: not at all. But C accounts twice for a
/// vCPU that is preempted while it accounts, now and then; then it stays so.
#[derive(Default)]
struct Times {
    twice: u64,
    doubt: Option<(u64, Runstate)>,
}

impl Times {
    /// Counts a reading that is no mixture.
    fn check(&mut self, runstate: Runstate) -> Outcome<u32> {
        let more = runstate.sum().wrapping_sub(runstate.entry_time);
        match self.doubt.take() {
            None if more == self.twice => return Ok(1),
            None if Side::detect() == Side::C => self.doubt = Some((more, runstate)),
            Some((before, _)) if before == more => self.twice = more,
            None => return Err(fail(format!("a torn runstate: {runstate:?}"))),
            Some((_, torn)) => return Err(fail(format!("a torn runstate: {torn:?}"))),
        }
        Ok(0)
    }
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
        let read = || -> Outcome<u32> {
            let start = Instant::now();
            let (mut times, mut good) = (Times::default(), 0);
            while start.elapsed() < Duration::from_millis(300) {
                if let Some(runstate) = read_as_guest(abi, area, offset, aligned)? {
                    good += times.check(runstate)?;
                }
            }
            Ok(good)
        };
        let consistent = read();
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

topic! { "runstate_layout";
    each_abi any_split_is_written_exactly,
    each_abi any_split_is_written_when_it_runs,
    each_abi reader_sees_no_torn_runstate,
    each_abi reader_sees_no_torn_runstate_across_pages,
    each_abi flag_is_clear_at_rest,
    once word_size_may_change_later,
    once word_size_may_change_without_a_second_page,
}
