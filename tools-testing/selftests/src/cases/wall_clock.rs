// SPDX-License-Identifier: GPL-2.0
//! The wall clock that KVM puts into shared_info: the time at which the clock
//! of the VM was 0, at the place that the word size has for it.

use std::ops::RangeInclusive;
use std::time::{SystemTime, UNIX_EPOCH};

use kvm_bindings::{kvm_clock_data, KVM_XEN_VCPU_ATTR_TYPE_VCPU_TIME_INFO};
use vm_memory::Bytes;

use crate::topic;
use harness::abi::{Abi, SharedInfo, WallClock, PAGE_SIZE};
use harness::attr::word;
use harness::check::{check, check_eq};
use harness::guest_code::Entry;
use harness::host::pin;
use harness::machine::{Machine, SHARED_INFO_PAGE, SPARE_PAGE};
use harness::memory::Area;
use harness::outcome::{fail, Outcome};

const SECOND: u128 = 1_000_000_000;
/// KVM reads two clocks one after the other, and may be delayed in between.
const TOLERANCE: u128 = SECOND / 20;

/// A guest whose shared_info KVM has not seen yet.
fn bare(abi: Abi) -> Outcome<Machine> {
    Machine::builder(abi).without_shared_info().build()
}

fn place(machine: &Machine) -> Outcome<WallClock> {
    machine.vm.set_shared_info(Area::gfn(SHARED_INFO_PAGE))?;
    Ok(machine.shared_info().wall_clock())
}

/// Real time less the VM's clock, as 64 bits: the earliest and the latest that
/// it can be, as they can't be read at once.
fn epoch(machine: &Machine) -> Outcome<RangeInclusive<u128>> {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH);
    let before = now()?.as_nanos() as u64;
    let clock = machine.vm.fd.get_clock()?.clock;
    let after = now()?.as_nanos() as u64;
    let [earliest, latest] = [before, after].map(|time| time.wrapping_sub(clock).into());
    Ok(earliest..=latest)
}

fn check_clock(machine: &Machine, clock: WallClock) -> Outcome {
    let (got, expected) = (clock.nanoseconds(), epoch(machine)?);
    let tolerated = expected.start() - TOLERANCE..=expected.end() + TOLERANCE;
    if !tolerated.contains(&got) {
        return Err(fail(format!(
            "wall clock: expected {expected:?} ns, got {got} ({clock:?})"
        )));
    }
    check(
        format!("nsec below a second, got {}", clock.nsec),
        u128::from(clock.nsec) < SECOND,
    )
}

/// Its four words change, and no other byte of the guest's memory.
fn placed_by_gfn_and_nothing_else_changes(abi: Abi) -> Outcome {
    let machine = bare(abi)?;
    let mut expected = machine.image();
    let clock = place(&machine)?;
    check_clock(&machine, clock)?;
    expected.shared_info().set_wall_clock(clock);
    expected.check(&machine.area)
}

/// The same where shared_info is given by address.
fn placed_by_hva_and_nothing_else_changes(abi: Abi) -> Outcome {
    let machine = bare(abi)?;
    let mut expected = machine.image();
    let hva = machine.area.hva(SHARED_INFO_PAGE, 0);
    machine.vm.set_shared_info_hva(hva)?;
    let clock = machine.shared_info().wall_clock();
    check_clock(&machine, clock)?;
    expected.shared_info().set_wall_clock(clock);
    expected.check(&machine.area)
}

/// It ends even, above what it was; odd would mean that it is being written.
fn version_grows_to_the_next_even_number(abi: Abi) -> Outcome {
    let machine = bare(abi)?;
    for (before, after) in [(0, 2), (2, 4), (5, 8), (6, 8), (u32::MAX, 2)] {
        machine.shared_info().set_wall_clock(WallClock {
            version: before,
            sec: 0,
            sec_hi: 0,
            nsec: 0,
        });
        let version = place(&machine)?.version;
        check_eq(format!("version after {before}"), version, after)?;
    }
    Ok(())
}

/// A guest that changes its word size finds the clock at the other place.
fn placed_anew_when_long_mode_changes(abi: Abi) -> Outcome {
    let machine = bare(abi)?;
    place(&machine)?;
    machine
        .area
        .page(SHARED_INFO_PAGE)
        .write_slice(&[0; PAGE_SIZE], 0)?;
    let other = abi.other();
    machine.vm.set_long_mode(other.long_mode())?;

    let new = SharedInfo::new(machine.area.page(SHARED_INFO_PAGE), other).wall_clock();
    check_eq("version", new.version, 2)?;
    check_clock(&machine, new)?;
    // All that is not zero now is the clock at its new place.
    let mut expected = machine.image();
    expected.clear_page(SHARED_INFO_PAGE);
    expected.shared_info_as(other).set_wall_clock(new);
    expected.check(&machine.area)
}

/// Setting the word size that it has writes the clock once more, harmlessly.
fn written_again_when_long_mode_is_set_again(abi: Abi) -> Outcome {
    let machine = bare(abi)?;
    let first = place(&machine)?;
    machine.vm.set_long_mode(abi.long_mode())?;
    let second = machine.shared_info().wall_clock();
    check_eq("version", second.version, first.version.wrapping_add(2))?;
    check_clock(&machine, second)
}

/// Without shared_info there is no place to write it.
fn not_written_without_shared_info(abi: Abi) -> Outcome {
    let machine = bare(abi)?;
    let before = machine.image();
    machine.vm.set_long_mode(abi.other().long_mode())?;
    machine.vm.set_long_mode(abi.long_mode())?;
    before.check(&machine.area)
}

fn set_vm_clock(machine: &Machine, nanoseconds: u64) -> Outcome {
    machine.vm.fd.set_clock(&kvm_clock_data {
        clock: nanoseconds,
        ..Default::default()
    })?;
    Ok(())
}

/// A clock that shows more time since the start means an earlier start.
fn follows_the_clock_of_the_vm(abi: Abi) -> Outcome {
    let machine = bare(abi)?;
    let start = place(&machine)?.nanoseconds();
    let day = 86_400 * SECOND;
    set_vm_clock(&machine, day as u64)?;
    let clock = place(&machine)?;
    check_clock(&machine, clock)?;
    let earlier = start.saturating_sub(clock.nanoseconds());
    // It was exact above; here it is that the clock has moved at all.
    check(
        format!("a start about a day earlier, got {earlier} ns"),
        earlier.abs_diff(day) < 600 * SECOND,
    )
}

/// Seconds past 2106 need wc_sec_hi. A VM's clock before 0 gets us there.
fn sec_hi_has_the_upper_half_of_the_seconds(abi: Abi) -> Outcome {
    let machine = bare(abi)?;
    let hundred_years = 100 * 365 * 86_400 * SECOND;
    set_vm_clock(&machine, (hundred_years as u64).wrapping_neg())?;
    let clock = place(&machine)?;
    check_eq("sec_hi", clock.sec_hi, 1)?;
    check_clock(&machine, clock)
}

/// The version of the guest's clock, which grows when KVM writes it; after a run.
fn clock_version(machine: &mut Machine) -> Outcome<u32> {
    const TIME: usize = 0x200;
    let place = Area::gpa(SPARE_PAGE, TIME);
    let vcpu = &mut machine.vcpus[0];
    if vcpu.attr(KVM_XEN_VCPU_ATTR_TYPE_VCPU_TIME_INFO)?[0] != place {
        vcpu.set_attr(KVM_XEN_VCPU_ATTR_TYPE_VCPU_TIME_INFO, word(place))?;
    }
    vcpu.complete(Entry::Cpuid)?;
    Ok(machine.area.page(SPARE_PAGE).read_obj(TIME)?)
}

/// A clock that is derived anew may jump: to place a page is no reason for that.
fn placing_leaves_the_guests_clock_alone(abi: Abi) -> Outcome {
    // KVM also writes the clock when the vCPU comes to another CPU.
    pin(0)?;
    let mut machine = bare(abi)?;
    machine.boot(0)?;
    let versions = [clock_version(&mut machine)?, clock_version(&mut machine)?];
    check("a clock", versions[0] != 0)?;
    check_eq("version before", versions[1], versions[0])?;
    place(&machine)?;
    machine.vm.set_long_mode(abi.long_mode())?;
    let after = clock_version(&mut machine)?;
    check_eq("version after", after, versions[0])
}

topic! { "wall_clock";
    each_abi placed_by_gfn_and_nothing_else_changes,
    each_abi placed_by_hva_and_nothing_else_changes,
    each_abi version_grows_to_the_next_even_number,
    each_abi placed_anew_when_long_mode_changes,
    each_abi written_again_when_long_mode_is_set_again,
    each_abi not_written_without_shared_info,
    each_abi follows_the_clock_of_the_vm,
    each_abi sec_hi_has_the_upper_half_of_the_seconds,
    each_abi placing_leaves_the_guests_clock_alone
        better_in_rust("to place shared_info has the guests' clocks derived anew")
        until(SharedInfoLeavesClock),
}
