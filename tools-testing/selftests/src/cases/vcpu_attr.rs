// SPDX-License-Identifier: GPL-2.0
//! Attributes of a vCPU, apart from what they do to a running guest. None of
//! these VMs has Xen's MSR, so the scheduler leaves the runstates alone.

use kvm_bindings::*;
use nix::errno::Errno;
use vm_memory::Bytes;

use crate::topic;
use harness::abi::runstate::OFFLINE;
use harness::abi::Abi;
use harness::abi::PAGE_SIZE;
use harness::attr::{Payload, INVALID_GPA};
use harness::check::{check, check_eq, check_err};
use harness::guest_code::Entry;
use harness::kernel::{has, Has};
use harness::machine::{Machine, SPARE_PAGE};
use harness::memory::{Area, NO_MEMORY_GPA};
use harness::outcome::Outcome;
use harness::snapshot::Snapshot;
use harness::vcpu::Vcpu;
use harness::vm::{Vm, PRIORITY};

use KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADDR as RUNSTATE_ADDR;
use KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADJUST as RUNSTATE_ADJUST;
use KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_CURRENT as RUNSTATE_CURRENT;
use KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_DATA as RUNSTATE_DATA;
use KVM_XEN_VCPU_ATTR_TYPE_TIMER as TIMER;
use KVM_XEN_VCPU_ATTR_TYPE_UPCALL_VECTOR as UPCALL_VECTOR;
use KVM_XEN_VCPU_ATTR_TYPE_VCPU_ID as VCPU_ID;
use KVM_XEN_VCPU_ATTR_TYPE_VCPU_TIME_INFO as VCPU_TIME_INFO;

/// Size of struct pvclock_vcpu_time_info.
const TIME_INFO_SIZE: usize = 32;

fn one(value: u64) -> Payload {
    [value, 0, 0, 0, 0, 0, 0, 0]
}

fn runstate(state: u64, entry_time: u64, times: [u64; 4]) -> Payload {
    let [running, runnable, blocked, offline] = times;
    [state, entry_time, running, runnable, blocked, offline, 0, 0]
}

fn timer(port: u32, priority: u32, expires: u64) -> Payload {
    let mut payload = one(u64::from(port) | (u64::from(priority) << 32));
    payload[1] = expires;
    payload
}

fn vm_with_vcpu() -> Outcome<(Vm, Vcpu)> {
    let vm = Vm::new()?;
    let vcpu = vm.add_vcpu(0)?;
    Ok((vm, vcpu))
}

/// The first words of an attribute.
fn read<const N: usize>(vcpu: &Vcpu, kind: u32) -> nix::Result<[u64; N]> {
    let payload = vcpu.attr(kind)?;
    Ok(std::array::from_fn(|at| payload[at]))
}

/// Nothing is set. (VCPU_ID was once meant to be the vCPU's index, but C set it
/// before there was one: it is 0 on every vCPU there.)
fn defaults_of_a_new_vcpu() -> Outcome {
    let vm = Vm::new()?;
    let vcpu = vm.add_vcpu(5)?;
    let id = if has(Has::VcpuIdUnset) { u32::MAX } else { 0 };
    check_eq("VCPU_INFO", vcpu.vcpu_info(), Ok(INVALID_GPA))?;
    check_eq("VCPU_INFO_HVA", vcpu.vcpu_info_hva(), Ok(0))?;
    check_eq("TIME_INFO", read(&vcpu, VCPU_TIME_INFO), Ok([INVALID_GPA]))?;
    let address = vcpu.attr(RUNSTATE_ADDR);
    check_err("RUNSTATE_ADDR", address, Errno::ENOENT)?;
    check_eq("RUNSTATE_DATA", read(&vcpu, RUNSTATE_DATA), Ok([0; 6]))?;
    check_eq("VCPU_ID", vcpu.attr(VCPU_ID)?[0] as u32, id)?;
    let idle = timer(0, PRIORITY, 0);
    check_eq("TIMER", read(&vcpu, TIMER), Ok([idle[0], idle[1]]))?;
    check_eq("UPCALL_VECTOR", vcpu.attr(UPCALL_VECTOR)?[0] as u8, 0)
}

/// A second clock of the guest's: set, moved, taken away.
fn time_info_reads_back() -> Outcome {
    let machine = Machine::new(Abi::Bits64)?;
    let vcpu = &machine.vcpus[0];
    for gpa in [
        Area::gpa(SPARE_PAGE, 0),
        Area::gpa(SPARE_PAGE, 0x123),
        Area::gpa(SPARE_PAGE, PAGE_SIZE - TIME_INFO_SIZE),
        INVALID_GPA,
    ] {
        vcpu.set_attr(VCPU_TIME_INFO, one(gpa))?;
        check_eq("VCPU_TIME_INFO", read(vcpu, VCPU_TIME_INFO), Ok([gpa]))?;
    }
    Ok(())
}

/// It may neither cross into another page nor be where no memory is.
fn bad_time_info_is_refused() -> Outcome {
    let machine = Machine::new(Abi::Bits64)?;
    let vcpu = &machine.vcpus[0];
    let before = Snapshot::of(&machine);
    let crossing = Area::gpa(SPARE_PAGE, PAGE_SIZE - TIME_INFO_SIZE + 1);
    let result = vcpu.set_attr(VCPU_TIME_INFO, one(crossing));
    check_err("across pages", result, Errno::EINVAL)?;
    before.check(&machine)?;
    let result = vcpu.set_attr(VCPU_TIME_INFO, one(NO_MEMORY_GPA));
    check_err("no memory", result, Errno::EFAULT)
}

/// KVM writes the clock when the vCPU runs, and no byte beside it.
fn time_info_is_written_when_the_vcpu_runs(abi: Abi) -> Outcome {
    let mut machine = Machine::new(abi)?;
    machine.boot(0)?;
    let offset = 0x200;
    let gpa = Area::gpa(SPARE_PAGE, offset);
    machine.vcpus[0].set_attr(VCPU_TIME_INFO, one(gpa))?;
    let before = machine.area.bytes();
    machine.vcpus[0].complete(Entry::Cpuid)?;
    let after = machine.area.bytes();
    let start = SPARE_PAGE * PAGE_SIZE + offset;
    let clock = start..start + TIME_INFO_SIZE;
    check("a clock", after[clock.clone()] != before[clock.clone()])?;
    let version: u32 = machine.area.page(SPARE_PAGE).read_obj(offset)?;
    check("an even version", version % 2 == 0)?;
    let page = SPARE_PAGE * PAGE_SIZE..(SPARE_PAGE + 1) * PAGE_SIZE;
    let stray = page.filter(|at| !clock.contains(at) && before[*at] != after[*at]);
    check_eq("stray bytes", stray.count(), 0)
}

/// Up to KVM's number of vCPUs; one more is refused.
fn vcpu_id_is_bounded() -> Outcome {
    let (vm, vcpu) = vm_with_vcpu()?;
    let max = vm.fd.check_extension_int(kvm_ioctls::Cap::MaxVcpus) as u32;
    for id in [0, 1, max - 1] {
        vcpu.set_attr(VCPU_ID, one(id.into()))?;
        let [got]: [u64; 1] = read(&vcpu, VCPU_ID)?;
        check_eq("VCPU_ID", got as u32, id)?;
        for bad in [max, max + 1, u32::MAX] {
            let result = vcpu.set_attr(VCPU_ID, one(bad.into()));
            check_err(format!("VCPU_ID {bad}"), result, Errno::EINVAL)?;
        }
        let [got]: [u64; 1] = read(&vcpu, VCPU_ID)?;
        check_eq("VCPU_ID after refused calls", got as u32, id)?;
    }
    Ok(())
}

/// Vectors below 16 belong to the CPU; 0 takes the vector away.
fn upcall_vector_is_checked() -> Outcome {
    let (_vm, vcpu) = vm_with_vcpu()?;
    for vector in [0x10, 0xff, 0] {
        vcpu.set_upcall_vector(vector)?;
        for bad in [1, 0x0f] {
            let result = vcpu.set_upcall_vector(bad);
            check_err(format!("vector {bad}"), result, Errno::EINVAL)?;
        }
        let [got]: [u64; 1] = read(&vcpu, UPCALL_VECTOR)?;
        check_eq("UPCALL_VECTOR", got as u8, vector)?;
    }
    Ok(())
}

/// Port, priority and expiry come back; port 0 stops the timer.
fn timer_reads_back() -> Outcome {
    let machine = Machine::new(Abi::Bits64)?;
    let vcpu = &machine.vcpus[0];
    let far = machine.vm.fd.get_clock()?.clock + 1_000_000_000_000;
    for [port, expires] in [[7, far], [9, far + 5], [9, 0], [7, far]] {
        let payload = timer(port as u32, PRIORITY, expires);
        vcpu.set_attr(TIMER, payload)?;
        check_eq("TIMER", read(vcpu, TIMER), Ok([payload[0], payload[1]]))?;
    }
    // Without a port nothing else is looked at.
    vcpu.set_attr(TIMER, timer(0, 3, far))?;
    let idle = timer(0, PRIORITY, 0);
    check_eq("TIMER", read(vcpu, TIMER), Ok([idle[0], idle[1]]))
}

/// There is one priority; a refused call leaves a running timer alone.
fn timer_of_bad_priority_is_einval() -> Outcome {
    let machine = Machine::new(Abi::Bits64)?;
    let vcpu = &machine.vcpus[0];
    let far = machine.vm.fd.get_clock()?.clock + 1_000_000_000_000;
    let payload = timer(7, PRIORITY, far);
    vcpu.set_attr(TIMER, payload)?;
    for priority in [0, 1, PRIORITY - 1] {
        let result = vcpu.set_attr(TIMER, timer(8, priority, 1));
        check_err(format!("priority {priority}"), result, Errno::EINVAL)?;
        check_eq("TIMER", read(vcpu, TIMER), Ok([payload[0], payload[1]]))?;
    }
    Ok(())
}

/// Types that KVM does not know, for reading and for writing.
fn unknown_types_are_enoent() -> Outcome {
    let machine = Machine::new(Abi::Bits64)?;
    let before = Snapshot::of(&machine);
    let vcpu = &machine.vcpus[0];
    for kind in [10, 0xff, 0x8000, 0xffff] {
        check_err(format!("get {kind}"), vcpu.attr(kind), Errno::ENOENT)?;
        let result = vcpu.set_attr(kind, one(1));
        check_err(format!("set {kind}"), result, Errno::ENOENT)?;
    }
    before.check(&machine)
}

/// The four states, and no other.
fn runstate_current_is_checked() -> Outcome {
    let (_vm, vcpu) = vm_with_vcpu()?;
    for state in [3, 2, 1, 0] {
        vcpu.set_attr(RUNSTATE_CURRENT, one(state))?;
        check_eq("state", read(&vcpu, RUNSTATE_CURRENT), Ok([state]))?;
        let before = read::<6>(&vcpu, RUNSTATE_DATA);
        for bad in [4, 1 << 32, u64::MAX] {
            let result = vcpu.set_attr(RUNSTATE_CURRENT, one(bad));
            check_err(format!("state {bad:#x}"), result, Errno::EINVAL)?;
        }
        check_eq("RUNSTATE_DATA", read::<6>(&vcpu, RUNSTATE_DATA), before)?;
    }
    Ok(())
}

/// Time up to the first state counts as offline; each later span as the state's.
fn states_set_by_the_vmm_add_up() -> Outcome {
    let (vm, vcpu) = vm_with_vcpu()?;
    for state in [1, 2, 3, 2, 1, 0, 2] {
        vcpu.set_attr(RUNSTATE_CURRENT, one(state))?;
        let data: [u64; 6] = read(&vcpu, RUNSTATE_DATA)?;
        check_eq("state", data[0], state)?;
        check_eq("sum of times", data[2..].iter().sum::<u64>(), data[1])?;
        check("a past entry time", data[1] <= vm.fd.get_clock()?.clock)?;
    }
    let data: [u64; 6] = read(&vcpu, RUNSTATE_DATA)?;
    for state in 0..=OFFLINE as usize {
        check(format!("time in state {state}"), data[2 + state] > 0)?;
    }
    Ok(())
}

/// What a VMM restores after migration is read as it was written.
fn runstate_data_reads_back() -> Outcome {
    let (_vm, vcpu) = vm_with_vcpu()?;
    for data in [
        runstate(2, 10, [1, 2, 3, 4]),
        runstate(0, 0, [0; 4]),
        // Sums may wrap: nobody can have lived so long.
        runstate(3, 7, [u64::MAX, 8, 0, 0]),
    ] {
        vcpu.set_attr(RUNSTATE_DATA, data)?;
        check_eq("RUNSTATE_DATA", &vcpu.attr(RUNSTATE_DATA)?[..6], &data[..6])?;
    }
    Ok(())
}

/// A state that is none, times that don't add up, an entry time to come.
fn bad_runstate_data_is_einval() -> Outcome {
    let (vm, vcpu) = vm_with_vcpu()?;
    let good = runstate(2, 10, [1, 2, 3, 4]);
    vcpu.set_attr(RUNSTATE_DATA, good)?;
    let future = vm.fd.get_clock()?.clock + 1_000_000_000_000;
    for bad in [
        runstate(4, 10, [1, 2, 3, 4]),
        runstate(u64::MAX, 10, [1, 2, 3, 4]),
        runstate(2, 11, [1, 2, 3, 4]),
        runstate(2, 10, [0; 4]),
        runstate(2, future, [future, 0, 0, 0]),
        runstate(2, u64::MAX, [u64::MAX, 0, 0, 0]),
    ] {
        let result = vcpu.set_attr(RUNSTATE_DATA, bad);
        check_err(format!("{bad:?}"), result, Errno::EINVAL)?;
        check_eq("RUNSTATE_DATA", &vcpu.attr(RUNSTATE_DATA)?[..6], &good[..6])?;
    }
    Ok(())
}

/// Adjustments are added to each time; state -1 leaves the state alone.
fn runstate_adjust_adds() -> Outcome {
    let (_vm, vcpu) = vm_with_vcpu()?;
    vcpu.set_attr(RUNSTATE_DATA, runstate(2, 10, [1, 2, 3, 4]))?;
    let adjust = runstate(u64::MAX, 100, [10, 20, 30, 40]);
    vcpu.set_attr(RUNSTATE_ADJUST, adjust)?;
    let expected = [2, 110, 11, 22, 33, 44];
    check_eq("RUNSTATE_DATA", read(&vcpu, RUNSTATE_DATA), Ok(expected))?;

    // With a state the vCPU enters it now.
    vcpu.set_attr(RUNSTATE_ADJUST, runstate(1, 4, [1, 1, 1, 1]))?;
    let data: [u64; 6] = read(&vcpu, RUNSTATE_DATA)?;
    check_eq("state", data[0], 1)?;
    check_eq("running", data[2], 12)?;
    check_eq("runnable", data[3], 23)?;
    check("blocked until now", data[4] > 34)?;
    check_eq("offline", data[5], 45)?;
    check_eq("sum", data[2..].iter().sum::<u64>(), data[1])
}

/// Times may be taken away: the sums wrap.
fn runstate_adjust_may_be_negative() -> Outcome {
    let (_vm, vcpu) = vm_with_vcpu()?;
    vcpu.set_attr(RUNSTATE_DATA, runstate(2, 100, [10, 20, 30, 40]))?;
    let minus = |value: u64| value.wrapping_neg();
    let adjust = runstate(
        u64::MAX,
        minus(10),
        [minus(1), minus(2), minus(3), minus(4)],
    );
    vcpu.set_attr(RUNSTATE_ADJUST, adjust)?;
    let expected = [2, 90, 9, 18, 27, 36];
    check_eq("RUNSTATE_DATA", read(&vcpu, RUNSTATE_DATA), Ok(expected))
}

/// It can't be read, and what does not add up changes nothing.
fn bad_runstate_adjust_is_einval() -> Outcome {
    let (vm, vcpu) = vm_with_vcpu()?;
    let good = runstate(2, 10, [1, 2, 3, 4]);
    vcpu.set_attr(RUNSTATE_DATA, good)?;
    check_err("get", vcpu.attr(RUNSTATE_ADJUST), Errno::EINVAL)?;
    let future = vm.fd.get_clock()?.clock + 1_000_000_000_000;
    for bad in [
        runstate(4, 10, [1, 2, 3, 4]),
        runstate(u64::MAX - 1, 10, [1, 2, 3, 4]),
        runstate(2, 9, [1, 2, 3, 4]),
        runstate(u64::MAX, future, [future, 0, 0, 0]),
    ] {
        let result = vcpu.set_attr(RUNSTATE_ADJUST, bad);
        check_err(format!("{bad:?}"), result, Errno::EINVAL)?;
        check_eq("RUNSTATE_DATA", &vcpu.attr(RUNSTATE_DATA)?[..6], &good[..6])?;
    }
    Ok(())
}

topic! { "vcpu_attr";
    once defaults_of_a_new_vcpu,
    once time_info_reads_back,
    once bad_time_info_is_refused,
    each_abi time_info_is_written_when_the_vcpu_runs,
    once vcpu_id_is_bounded,
    once upcall_vector_is_checked,
    once timer_reads_back,
    once timer_of_bad_priority_is_einval,
    once unknown_types_are_enoent,
    once runstate_current_is_checked,
    once states_set_by_the_vmm_add_up,
    once runstate_data_reads_back,
    once bad_runstate_data_is_einval,
    once runstate_adjust_adds,
    once runstate_adjust_may_be_negative,
    once bad_runstate_adjust_is_einval,
}
