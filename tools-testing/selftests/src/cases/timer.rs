// SPDX-License-Identifier: GPL-2.0
//! The vCPU's singleshot timer: set by hypercall or by the VMM, fired into a port.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use kvm_bindings::{kvm_regs, KVM_XEN_VCPU_ATTR_TYPE_TIMER, KVM_XEN_VCPU_ATTR_TYPE_VCPU_ID};

use crate::topic;
use harness::abi::hypercall::XEN_EFAULT;
use harness::abi::sched::*;
use harness::abi::Abi;
use harness::attr::{timer, word};
use harness::check::{check, check_eq, eventually};
use harness::guest_code::Entry;
use harness::guest_cpu::DATA;
use harness::host::{pin, preempt_rt};
use harness::kernel::{has, Has};
use harness::machine::{Machine, SHARED_INFO_PAGE};
use harness::outcome::Outcome;
use harness::port::Port;
use harness::vcpu::Exit;

/// The port that the timer fires into.
const PORT: u32 = 7;
const MS: u64 = 1_000_000;
/// By how much two readings of the guest's clock may differ.
const SLACK: u64 = 2 * MS;
/// Xen's number of the vCPU.
const XEN_ID: u64 = 3;
/// Just past the guest's RAM.
const RAM_END: u64 = 0x4_0000;

fn guest(abi: Abi) -> Outcome<Machine> {
    let mut machine = Machine::new(abi)?;
    machine.boot_with_hypercalls(0)?;
    machine.vcpus[0].set_attr(KVM_XEN_VCPU_ATTR_TYPE_VCPU_ID, word(XEN_ID))?;
    set_timer(&machine, PORT, 0)?;
    Ok(machine)
}

/// The timer as the VMM sets it.
fn set_timer(machine: &Machine, port: u32, expires: u64) -> Outcome {
    Ok(machine.vcpus[0].set_attr(KVM_XEN_VCPU_ATTR_TYPE_TIMER, timer(port, expires))?)
}

fn expires(machine: &Machine) -> Outcome<u64> {
    Ok(machine.vcpus[0].attr(KVM_XEN_VCPU_ATTR_TYPE_TIMER)?[1])
}

/// The guest's clock.
fn now(machine: &Machine) -> Outcome<u64> {
    Ok(machine.vm.fd.get_clock()?.clock)
}

fn pending(machine: &Machine) -> bool {
    machine.shared_info().pending(PORT)
}

#[track_caller]
fn singleshot(machine: &mut Machine, id: u64, time: u64) -> Outcome<u64> {
    let argument = singleshot_timer(machine.abi, time);
    machine.ram.write(DATA, &argument)?;
    machine.vcpus[0].call(VCPU_OP, &[VCPUOP_SET_SINGLESHOT_TIMER, id, DATA])
}

/// Arguments of set_timer_op: a 32-bit guest has the time in two registers.
fn time_words(abi: Abi, time: u64) -> Vec<u64> {
    match abi {
        Abi::Bits32 => vec![time & 0xffff_ffff, time >> 32],
        Abi::Bits64 => vec![time],
    }
}

#[track_caller]
fn set_timer_op(machine: &mut Machine, time: u64) -> Outcome {
    let params = time_words(machine.abi, time);
    let result = machine.vcpus[0].call(SET_TIMER_OP, &params)?;
    check_eq("result of set_timer_op", result, 0)
}

/// Fails unless the timer fires, and not before `time`. Under PREEMPT_RT its event is left to the
/// vCPU.
#[track_caller]
fn check_fires_at(machine: &mut Machine, time: u64) -> Outcome {
    let mut ran = Ok(());
    eventually("the timer", || {
        if preempt_rt() && ran.is_ok() {
            ran = machine.vcpus[0].complete(Entry::Cpuid);
        }
        pending(machine)
    })?;
    ran?;
    let fired = now(machine)?;
    check(
        format!("the timer at {time} or later, not at {fired}"),
        fired + SLACK >= time,
    )?;
    check_eq("expires of a timer that has fired", expires(machine)?, 0)
}

/// The event comes by the usual way: port, selector, upcall.
fn past_time_fires_at_once(abi: Abi) -> Outcome {
    let mut machine = guest(abi)?;
    let mut expected = machine.image();
    expected.deliver(0, PORT);
    check_eq("result", singleshot(&mut machine, XEN_ID, 1)?, 0)?;
    expected.check_but_clocks(&machine.area)?;
    check_eq("expires", expires(&machine)?, 0)
}

/// Not before its time; and once.
fn future_time_fires_then(abi: Abi) -> Outcome {
    let mut machine = guest(abi)?;
    let time = now(&machine)? + 60 * MS;
    check_eq("result", singleshot(&mut machine, XEN_ID, time)?, 0)?;
    check_fires_at(&mut machine, time)?;
    machine.clear_events();
    sleep(Duration::from_millis(30));
    check_eq("pending again", pending(&machine), false)
}

/// The singleshot timer has no workaround: far ahead stays far ahead.
fn singleshot_takes_any_time(abi: Abi) -> Outcome {
    let mut machine = guest(abi)?;
    let far = 1 << 52;
    check_eq("result", singleshot(&mut machine, XEN_ID, far)?, 0)?;
    check_eq("expires", expires(&machine)?, far)?;
    check_eq("pending", pending(&machine), false)?;
    // As a signed number this is past.
    check_eq("result", singleshot(&mut machine, XEN_ID, u64::MAX)?, 0)?;
    check_eq("pending", pending(&machine), true)
}

/// A guest that asks not to be told late (VCPU_SSHOTTMR_future) is, as by Xen it
/// would not be: no guest wants that.
fn flags_do_not_matter(abi: Abi) -> Outcome {
    let mut machine = guest(abi)?;
    for flags in [1, u32::MAX] {
        machine.clear_events();
        let argument = singleshot_timer_with_flags(abi, 1, flags);
        machine.ram.write(DATA, &argument)?;
        let params = [VCPUOP_SET_SINGLESHOT_TIMER, XEN_ID, DATA];
        let result = machine.vcpus[0].call(VCPU_OP, &params)?;
        check_eq(format!("result with flags {flags:#x}"), result, 0)?;
        check_eq("pending", pending(&machine), true)?;
    }
    Ok(())
}

/// A vCPU may set no other's timer; it is named by Xen's number.
fn other_vcpu_is_einval(abi: Abi) -> Outcome {
    let mut machine = guest(abi)?;
    let far = now(&machine)? + 1_000_000 * MS;
    check_eq("result", singleshot(&mut machine, XEN_ID, far)?, 0)?;
    for id in [0, XEN_ID + 1, 0xffff_ffff] {
        let result = singleshot(&mut machine, id, 1)?;
        check_eq(format!("result for vCPU {id}"), result, XEN_EINVAL)?;
        let params = [VCPUOP_STOP_SINGLESHOT_TIMER, id];
        let result = machine.vcpus[0].call(VCPU_OP, &params)?;
        check_eq(format!("result of stop for {id}"), result, XEN_EINVAL)?;
    }
    check_eq("expires", expires(&machine)?, far)?;
    check_eq("pending", pending(&machine), false)
}

/// The whole structure must be readable, also the padding of 64-bit guests.
fn unreadable_time_is_efault(abi: Abi) -> Outcome {
    let mut machine = guest(abi)?;
    let size = singleshot_timer_size(abi) as u64;
    machine.ram.write(RAM_END - 16, &[0; 16])?;
    for address in [RAM_END - size + 1, RAM_END] {
        let params = [VCPUOP_SET_SINGLESHOT_TIMER, XEN_ID, address];
        let result = machine.vcpus[0].call(VCPU_OP, &params)?;
        check_eq(format!("result for {address:#x}"), result, XEN_EFAULT)?;
        check_eq("pending", pending(&machine), false)?;
    }
    let params = [VCPUOP_SET_SINGLESHOT_TIMER, XEN_ID, RAM_END - size];
    check_eq("result", machine.vcpus[0].call(VCPU_OP, &params)?, 0)?;
    check_eq("pending", pending(&machine), true)
}

/// Sets the timer ahead, stops it before its time, and fails if it fires. On a busy machine its time
/// may come first: then it is set further ahead.
#[track_caller]
fn check_stopped(
    machine: &mut Machine,
    set: impl Fn(&mut Machine, u64) -> Outcome,
    stop: impl Fn(&mut Machine) -> Outcome,
) -> Outcome {
    let mut ahead = 60 * MS;
    loop {
        let time = now(machine)? + ahead;
        set(machine, time)?;
        stop(machine)?;
        check_eq("expires", expires(machine)?, 0)?;
        if now(machine)? + SLACK < time {
            break;
        }
        machine.clear_events();
        ahead *= 2;
    }
    sleep(Duration::from_nanos(ahead + 40 * MS));
    check_eq("pending", pending(machine), false)
}

/// A stopped timer does not fire.
fn stop_stops(abi: Abi) -> Outcome {
    let mut machine = guest(abi)?;
    let set =
        |machine: &mut Machine, time| check_eq("result", singleshot(machine, XEN_ID, time)?, 0);
    let stop = |machine: &mut Machine| {
        let params = [VCPUOP_STOP_SINGLESHOT_TIMER, XEN_ID];
        check_eq("result", machine.vcpus[0].call(VCPU_OP, &params)?, 0)
    };
    check_stopped(&mut machine, set, stop)?;
    check_stopped(&mut machine, set, |machine| set_timer_op(machine, 0))?;
    // To stop a timer that does not run is no mistake.
    stop(&mut machine)
}

/// set_timer_op takes an absolute time, as wide in 32 as in 64 bits.
fn set_timer_op_fires(abi: Abi) -> Outcome {
    let mut machine = guest(abi)?;
    set_timer_op(&mut machine, 1)?;
    check_eq("pending", pending(&machine), true)?;
    machine.clear_events();
    let time = now(&machine)? + 60 * MS;
    set_timer_op(&mut machine, time)?;
    check_fires_at(&mut machine, time)?;
    machine.clear_events();
    let far = now(&machine)? + (1 << 40);
    set_timer_op(&mut machine, far)?;
    check_eq("expires", expires(&machine)?, far)
}

/// Linux once passed negative and absurd times: they mean 100 ms from now.
fn set_timer_op_has_linux_workaround(abi: Abi) -> Outcome {
    let mut machine = guest(abi)?;
    for time in [1 << 63, u64::MAX, (1 << 50) + now(&machine)? + 1000 * MS] {
        machine.clear_events();
        let before = now(&machine)?;
        set_timer_op(&mut machine, time)?;
        let after = now(&machine)?;
        let until = expires(&machine)?;
        check(
            format!("{time:#x} to mean 100 ms from now: {before} < {until} - 100 ms < {after}"),
            (before.saturating_sub(SLACK)..after + SLACK).contains(&(until - 100 * MS)),
        )?;
        check_fires_at(&mut machine, until)?;
    }
    Ok(())
}

/// The VMM may look at a timer that runs, which then fires all the same.
fn reading_does_not_disturb_it(abi: Abi) -> Outcome {
    let mut machine = guest(abi)?;
    let time = now(&machine)? + 100 * MS;
    set_timer(&machine, PORT, time)?;
    for _ in 0..50 {
        check_eq("expires", expires(&machine)?, time)?;
    }
    check_fires_at(&mut machine, time)
}

/// Restored by the VMM when its time is past: it fires at once.
fn restored_past_timer_fires_at_once(abi: Abi) -> Outcome {
    let machine = guest(abi)?;
    set_timer(&machine, PORT, 1)?;
    check_eq("pending", pending(&machine), true)?;
    check_eq("expires", expires(&machine)?, 0)
}

/// It fires into the port that was set last.
fn setting_a_port_stops_the_old_timer(abi: Abi) -> Outcome {
    let mut machine = guest(abi)?;
    let set = |machine: &mut Machine, time| set_timer(machine, PORT, time);
    check_stopped(&mut machine, set, |machine| set_timer(machine, PORT + 1, 0))?;
    set_timer(&machine, PORT + 1, 1)?;
    check_eq("old port", pending(&machine), false)?;
    check_eq("new port", machine.shared_info().pending(PORT + 1), true)
}

/// A timer that fires while shared_info is away is delivered when the vCPU runs
/// and it is back.
fn fired_while_shared_info_is_away(abi: Abi) -> Outcome {
    let mut machine = guest(abi)?;
    set_timer(&machine, PORT, now(&machine)? + 40 * MS)?;
    machine.area.forbid(SHARED_INFO_PAGE)?;
    sleep(Duration::from_millis(80));
    machine.area.permit(SHARED_INFO_PAGE)?;
    machine.vcpus[0].complete(Entry::Cpuid)?;
    eventually("the timer", || pending(&machine))?;
    check_eq("expires", expires(&machine)?, 0)
}

/// What a VMM reads for migration is either a timer yet to fire or the event.
fn fired_while_away_is_delivered_by_reading(abi: Abi) -> Outcome {
    let machine = guest(abi)?;
    set_timer(&machine, PORT, now(&machine)? + 40 * MS)?;
    machine.area.forbid(SHARED_INFO_PAGE)?;
    sleep(Duration::from_millis(80));
    machine.area.permit(SHARED_INFO_PAGE)?;
    check_eq("expires", expires(&machine)?, 0)?;
    check_eq("pending", pending(&machine), true)
}

/// A timer wakes a vCPU that halts.
fn timer_wakes_a_halted_vcpu(abi: Abi) -> Outcome {
    let mut machine = guest(abi)?;
    machine.vcpus[0].enable_lapic()?;
    machine.vm.set_upcall_vector(0x61)?;
    set_timer(&machine, PORT, now(&machine)? + 60 * MS)?;
    let exit = machine.vcpus[0].start(Entry::Halt, kvm_regs::default())?;
    check_eq("exit", exit, Exit::Interrupt(0x61))?;
    check_eq("pending", pending(&machine), true)
}

/// Without a port for the timer the VMM emulates it.
fn timer_without_a_port_is_left_to_the_vmm(abi: Abi) -> Outcome {
    let mut machine = guest(abi)?;
    set_timer(&machine, 0, 0)?;
    for (input, params) in [
        (VCPU_OP, &[VCPUOP_SET_SINGLESHOT_TIMER, XEN_ID, DATA][..]),
        (VCPU_OP, &[VCPUOP_STOP_SINGLESHOT_TIMER, XEN_ID]),
        (SET_TIMER_OP, &time_words(abi, 5)),
    ] {
        let exit = machine.vcpus[0].hypercall(input, params)?;
        check_eq("exit", exit, Exit::for_the_vmm(abi, 0, input, params))?;
    }
    Ok(())
}

/// A vCPU that the VMM has given no number: it is the VMM's to know, or it is 0.
fn vcpu_without_a_number(abi: Abi) -> Outcome {
    let mut machine = Machine::new(abi)?;
    machine.boot_with_hypercalls(0)?;
    set_timer(&machine, PORT, 0)?;
    let far = now(&machine)? + 1_000_000 * MS;
    machine.ram.write(DATA, &singleshot_timer(abi, far))?;
    for id in [1, 0xffff_ffff, 0] {
        for (command, argument) in [
            (VCPUOP_SET_SINGLESHOT_TIMER, DATA),
            (VCPUOP_STOP_SINGLESHOT_TIMER, 0),
        ] {
            let params = [command, id, argument];
            if has(Has::VcpuIdUnset) {
                let exit = machine.vcpus[0].hypercall(VCPU_OP, &params)?;
                check_eq("exit", exit, Exit::for_the_vmm(abi, 0, VCPU_OP, &params))?;
            } else {
                let result = if id == 0 { 0 } else { XEN_EINVAL };
                check_eq("result", machine.vcpus[0].call(VCPU_OP, &params)?, result)?;
            }
        }
        check_eq("expires", expires(&machine)?, 0)?;
    }
    // This one names no vCPU.
    set_timer_op(&mut machine, far)?;
    check_eq("expires", expires(&machine)?, far)?;

    machine.vcpus[0].set_attr(KVM_XEN_VCPU_ATTR_TYPE_VCPU_ID, word(XEN_ID))?;
    check_eq("result", singleshot(&mut machine, XEN_ID, far + MS)?, 0)?;
    check_eq("expires", expires(&machine)?, far + MS)
}

/// The same when the vCPU has run while it was away.
fn fired_timer_survives_a_run(abi: Abi) -> Outcome {
    let mut machine = guest(abi)?;
    set_timer(&machine, PORT, now(&machine)? + 40 * MS)?;
    machine.area.forbid(SHARED_INFO_PAGE)?;
    sleep(Duration::from_millis(80));
    for _ in 0..3 {
        machine.vcpus[0].complete(Entry::Cpuid)?;
    }
    machine.area.permit(SHARED_INFO_PAGE)?;
    // Its vCPU delivers it, when it next runs and the timer has tried again.
    for _ in 0..200 {
        machine.vcpus[0].complete(Entry::Cpuid)?;
        if pending(&machine) {
            return Ok(());
        }
        sleep(Duration::from_millis(5));
    }
    check_eq("pending", pending(&machine), true)
}

/// A timer that is past when it is set, to 0 even, is one that the VMM reads when it can't fire yet.
fn past_timer_survives_a_run(abi: Abi) -> Outcome {
    let mut machine = guest(abi)?;
    for time in [1, 0] {
        machine.clear_events();
        machine.area.forbid(SHARED_INFO_PAGE)?;
        check_eq("result", singleshot(&mut machine, XEN_ID, time)?, 0)?;
        check("timer is set", expires(&machine)? != 0)?;
        machine.area.permit(SHARED_INFO_PAGE)?;
        // It has fired again, or will.
        eventually("the timer", || {
            expires(&machine).is_ok_and(|expires| expires == 0)
        })?;
        check_eq(format!("pending after {time}"), pending(&machine), true)?;
    }
    Ok(())
}

/// It fires, in hard interrupt context, while others wait to be alone with shared_info, for which
/// it would have to make way: with an update of a port in Rust, and a page that moves in C, too.
fn fires_while_others_wait_for_shared_info(abi: Abi) -> Outcome {
    let machine = guest(abi)?;
    machine.vm.assign(Port::ipi(PORT + 1, 0))?;
    let Machine {
        vm,
        area,
        mut vcpus,
        ram: _ram,
        ..
    } = machine;
    let vcpu = &mut vcpus[0];
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let changes = scope.spawn(|| -> Outcome {
            pin(1)?;
            for turn in 0u64.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                vm.update(Port::ipi(PORT + 1, 0))?;
                if turn % 256 == 0 {
                    area.discard(SHARED_INFO_PAGE)?;
                }
                sleep(Duration::from_micros(20));
            }
            Ok(())
        });
        let mut run = || -> Outcome {
            pin(0)?;
            for _ in 0..100 {
                let time = vm.fd.get_clock()?.clock + MS;
                vcpu.set_attr(KVM_XEN_VCPU_ATTR_TYPE_TIMER, timer(PORT, time))?;
                sleep(Duration::from_millis(2));
                vcpu.complete(Entry::Cpuid)?;
                eventually("a timer that has fired", || {
                    vcpu.attr(KVM_XEN_VCPU_ATTR_TYPE_TIMER)
                        .is_ok_and(|timer| timer[1] == 0)
                })?;
            }
            Ok(())
        };
        let ran = run();
        stop.store(true, Ordering::Relaxed);
        let changed = changes.join().expect("does not panic");
        ran.and(changed)
    })
}

topic! { "timer";
    each_abi past_time_fires_at_once,
    each_abi future_time_fires_then,
    each_abi singleshot_takes_any_time,
    each_abi flags_do_not_matter,
    each_abi other_vcpu_is_einval,
    each_abi unreadable_time_is_efault,
    each_abi stop_stops,
    each_abi set_timer_op_fires,
    each_abi set_timer_op_has_linux_workaround,
    each_abi reading_does_not_disturb_it,
    each_abi restored_past_timer_fires_at_once,
    each_abi setting_a_port_stops_the_old_timer,
    each_abi fired_while_shared_info_is_away,
    each_abi fired_while_away_is_delivered_by_reading,
    each_abi fired_timer_survives_a_run
        better_in_rust("a timer that fires while shared_info is away is lost when the vCPU runs"),
    each_abi past_timer_survives_a_run
        better_in_rust("a timer that fires while shared_info is away is lost when the vCPU runs"),
    each_abi timer_wakes_a_halted_vcpu,
    each_abi timer_without_a_port_is_left_to_the_vmm,
    each_abi fires_while_others_wait_for_shared_info,
    each_abi vcpu_without_a_number,
}
