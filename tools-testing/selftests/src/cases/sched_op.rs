// SPDX-License-Identifier: GPL-2.0
//! SCHEDOP_yield and SCHEDOP_poll. Polled ports are masked, as Linux has them.

use std::time::Duration;

use crate::topic;
use harness::abi::hypercall::XEN_EFAULT;
use harness::abi::sched::*;
use harness::abi::Abi;
use harness::check::{check, check_eq};
use harness::guest_cpu::DATA;
use harness::irqfd::Route;
use harness::machine::Machine;
use harness::outcome::Outcome;
use harness::poll::{poll_ends, polling_guest, ASLEEP, AWAKE, POLL, PORTS};
use harness::vcpu::Exit;

/// Any line will do.
const GSI: u32 = 40;
const MS: u64 = 1_000_000;
/// Just past the guest's RAM.
const RAM_END: u64 = 0x4_0000;

#[track_caller]
fn sched_op(machine: &mut Machine, command: u64, argument: u64) -> Outcome<u64> {
    machine.vcpus[0].call(SCHED_OP, &[command, argument])
}

fn mask(machine: &Machine, ports: &[u32]) {
    for port in ports {
        machine.shared_info().set_masked(*port, true);
    }
}

/// Yield is done in the kernel, with the VMM's leave to poll and without.
fn yield_returns_0(abi: Abi) -> Outcome {
    let mut machine = polling_guest(abi, &[0, 1])?;
    check_eq("result", sched_op(&mut machine, SCHEDOP_YIELD, 0)?, 0)?;
    machine.vm.intercept_hypercalls()?;
    check_eq("result", sched_op(&mut machine, SCHEDOP_YIELD, 0)?, 0)
}

/// Other commands are the VMM's.
fn other_commands_are_left_to_the_vmm(abi: Abi) -> Outcome {
    let mut machine = polling_guest(abi, &[0])?;
    for command in [1, SCHEDOP_SHUTDOWN, 4, 0xffff_fff0] {
        let params = [command, DATA];
        let exit = machine.vcpus[0].hypercall(SCHED_OP, &params)?;
        let expected = Exit::for_the_vmm(abi, 0, SCHED_OP, &params);
        check_eq(format!("exit of command {command}"), exit, expected)?;
    }
    Ok(())
}

/// Without the VMM's leave a poll is but a yield: nothing is read or awaited.
fn poll_without_the_flag_yields(abi: Abi) -> Outcome {
    let mut machine = polling_guest(abi, &[0])?;
    machine.vm.intercept_hypercalls()?;
    mask(&machine, &[5]);
    let poll = machine.begin_poll(&[5], 0)?;
    poll_ends(poll, &mut machine, AWAKE)?;
    check_eq("result", sched_op(&mut machine, SCHEDOP_POLL, RAM_END)?, 0)
}

/// A port that is pending already, whichever of them it is.
fn pending_port_returns_at_once(abi: Abi) -> Outcome {
    let mut machine = polling_guest(abi, &[0])?;
    let ports = [5, 6, abi.ports() - 1];
    mask(&machine, &ports);
    for port in ports {
        machine.shared_info().set_pending(port, true);
        for polled in [&ports[..], &[port]] {
            let poll = machine.begin_poll(polled, 0)?;
            poll_ends(poll, &mut machine, AWAKE)?;
        }
        machine.shared_info().set_pending(port, false);
    }
    Ok(())
}

/// A poll only waits: it leaves ports and vcpu_info alone.
fn poll_changes_nothing(abi: Abi) -> Outcome {
    let mut machine = polling_guest(abi, &[0])?;
    mask(&machine, &[5]);
    machine.shared_info().set_pending(5, true);
    let before = machine.image();
    let poll = machine.begin_poll(&[5], 0)?;
    poll_ends(poll, &mut machine, AWAKE)?;
    before.check_but_clocks(&machine.area)
}

/// A masked port wakes the vCPU that polls it.
fn masked_port_wakes(abi: Abi) -> Outcome {
    let mut machine = polling_guest(abi, &[0])?;
    let last = abi.ports() - 1;
    for port in [5, last] {
        mask(&machine, &[port]);
        let poll = machine.begin_poll(&[port], 0)?;
        poll.stays(ASLEEP)?;
        machine.vm.send(port, 0)?;
        poll_ends(poll, &mut machine, AWAKE)?;
    }
    Ok(())
}

/// So does port 0, which no ioctl sends to, but a route may lead to.
fn port_0_wakes(abi: Abi) -> Outcome {
    let mut machine = polling_guest(abi, &[0])?;
    mask(&machine, &[0]);
    machine.vm.set_routes(&[Route::new(GSI, 0, 0)])?;
    let irqfd = machine.vm.irqfd(GSI)?;
    let poll = machine.begin_poll(&[0], 0)?;
    poll.stays(ASLEEP)?;
    irqfd.signal()?;
    poll_ends(poll, &mut machine, AWAKE)?;
    Ok(())
}

/// Other masked ports don't, nor do those for which others poll.
fn port_that_is_not_polled_does_not_wake(abi: Abi) -> Outcome {
    let mut machine = polling_guest(abi, &[0, 1, 2])?;
    mask(&machine, &[5, 6, 7]);
    // Where a single vCPU polls for port 6, Rust looks at no other.
    machine.write_poll(&[6], 0)?;
    let mut others = Vec::new();
    for index in [2, 1] {
        machine.boot_with_hypercalls(index)?;
        others.push(machine.detach(index, |vcpu| {
            vcpu.hypercall(SCHED_OP, &[SCHEDOP_POLL, POLL])
        })?);
    }
    for poll in &others {
        poll.stays(ASLEEP)?;
    }
    let poll = machine.begin_poll(&[5], 0)?;
    poll.stays(ASLEEP)?;
    machine.vm.send(6, 0)?;
    machine.vm.send(7, 0)?;
    poll.stays(ASLEEP)?;
    machine.vm.send(5, 0)?;
    poll_ends(poll, &mut machine, AWAKE)?;
    // C wakes no vCPU but the one that an event is sent to.
    while let Some(poll) = others.pop() {
        machine.shared_info().set_pending(6, false);
        machine.vm.send(6, poll.index() as u32)?;
        poll_ends(poll, &mut machine, AWAKE)?;
    }
    Ok(())
}

fn poll_many(abi: Abi, number: u32) -> Outcome {
    let mut machine = polling_guest(abi, &[0])?;
    let ports: Vec<u32> = (10..10 + number).collect();
    mask(&machine, &ports);
    for port in [ports[0], ports[ports.len() - 1]] {
        let poll = machine.begin_poll(&ports, 0)?;
        poll.stays(ASLEEP)?;
        machine.vm.send(port, 0)?;
        poll_ends(poll, &mut machine, AWAKE)?;
        machine.shared_info().set_pending(port, false);
    }
    Ok(())
}

/// Any of several ports wakes.
fn each_of_several_ports_wakes(abi: Abi) -> Outcome {
    poll_many(abi, 2)
}

/// 128 ports are the most that Xen and KVM take.
fn poll_of_128_ports_works(abi: Abi) -> Outcome {
    poll_many(abi, 128)
}

/// One more is refused.
fn poll_of_more_ports_is_einval(abi: Abi) -> Outcome {
    let mut machine = polling_guest(abi, &[0])?;
    for number in [129, 1 << 20, u32::MAX] {
        let poll = sched_poll(abi, PORTS, number, MS);
        machine.ram.write(POLL, &poll)?;
        let result = sched_op(&mut machine, SCHEDOP_POLL, POLL)?;
        check_eq(format!("result for {number} ports"), result, XEN_EINVAL)?;
    }
    Ok(())
}

/// A port that the word size does not have, first or last.
fn poll_of_a_bad_port_is_einval(abi: Abi) -> Outcome {
    let mut machine = polling_guest(abi, &[0])?;
    machine.shared_info().set_pending(5, true);
    for bad in [abi.ports(), u32::MAX] {
        for ports in [&[bad][..], &[5, bad], &[bad, 5]] {
            machine.write_poll(ports, MS)?;
            let result = sched_op(&mut machine, SCHEDOP_POLL, POLL)?;
            check_eq(format!("result for {ports:?}"), result, XEN_EINVAL)?;
        }
    }
    Ok(())
}

/// A structure or an array that can't be read, in whole or in part.
fn unreadable_arguments_are_efault(abi: Abi) -> Outcome {
    let mut machine = polling_guest(abi, &[0])?;
    let size = sched_poll(abi, 0, 0, 0).len() as u64;
    for address in [RAM_END, RAM_END - size + 1, 0x8000_0000] {
        let result = sched_op(&mut machine, SCHEDOP_POLL, address)?;
        check_eq(format!("result for {address:#x}"), result, XEN_EFAULT)?;
    }
    machine.ram.write(RAM_END - 4, &5_u32.to_le_bytes())?;
    for (array, number) in [(RAM_END, 1), (RAM_END - 3, 1), (RAM_END - 4, 2)] {
        let poll = sched_poll(abi, array, number, MS);
        machine.ram.write(POLL, &poll)?;
        let result = sched_op(&mut machine, SCHEDOP_POLL, POLL)?;
        check_eq(
            format!("result for ports at {array:#x}"),
            result,
            XEN_EFAULT,
        )?;
    }
    Ok(())
}

/// The timeout ends a poll, and not much too soon: KVM rounds to its tick.
fn timeout_ends_a_poll(abi: Abi) -> Outcome {
    let mut machine = polling_guest(abi, &[0])?;
    mask(&machine, &[5, 6]);
    for ports in [&[][..], &[5], &[5, 6]] {
        let poll = machine.begin_poll(ports, 100 * MS)?;
        let time = poll_ends(poll, &mut machine, AWAKE)?;
        check(
            format!(
                "a poll of {ports:?} for 100 ms, not {} ms",
                time.as_millis()
            ),
            time >= Duration::from_millis(80),
        )?;
    }
    check_eq("pending", machine.shared_info().pending(5), false)
}

/// An event ends a poll long before its timeout.
fn event_beats_the_timeout(abi: Abi) -> Outcome {
    let mut machine = polling_guest(abi, &[0])?;
    mask(&machine, &[5]);
    let poll = machine.begin_poll(&[5], 3_600_000 * MS)?;
    poll.stays(ASLEEP)?;
    machine.vm.send(5, 0)?;
    poll_ends(poll, &mut machine, AWAKE)?;
    Ok(())
}

/// An event that asks for an upcall wakes a poller of nothing and of anything.
fn upcall_wakes_a_poller(abi: Abi) -> Outcome {
    let mut machine = polling_guest(abi, &[0])?;
    mask(&machine, &[5]);
    for ports in [&[][..], &[5]] {
        machine.shared_info().set_pending(9, false);
        machine.vcpu_info(0).acknowledge();
        let poll = machine.begin_poll(ports, 0)?;
        poll.stays(ASLEEP)?;
        machine.vm.send(9, 0)?;
        poll_ends(poll, &mut machine, AWAKE)?;
    }
    Ok(())
}

/// Every sleep is followed by its own wake-up: none is lost to the one before.
fn polls_in_a_row_wake(abi: Abi) -> Outcome {
    let mut machine = polling_guest(abi, &[0])?;
    mask(&machine, &[5]);
    for round in 0..40 {
        let poll = machine.begin_poll(&[5], 0)?;
        // From before the poll to well into its sleep.
        std::thread::sleep(Duration::from_micros(round * 100));
        machine.vm.send(5, 0)?;
        poll_ends(poll, &mut machine, AWAKE)?;
        machine.shared_info().set_pending(5, false);
    }
    Ok(())
}

topic! { "sched_op";
    each_abi yield_returns_0,
    each_abi other_commands_are_left_to_the_vmm,
    each_abi poll_without_the_flag_yields,
    each_abi pending_port_returns_at_once,
    each_abi poll_changes_nothing,
    each_abi masked_port_wakes,
    each_abi port_0_wakes,
    each_abi port_that_is_not_polled_does_not_wake,
    each_abi each_of_several_ports_wakes,
    each_abi poll_of_128_ports_works,
    each_abi poll_of_more_ports_is_einval,
    each_abi poll_of_a_bad_port_is_einval,
    each_abi unreadable_arguments_are_efault,
    each_abi timeout_ends_a_poll,
    each_abi event_beats_the_timeout,
    each_abi upcall_wakes_a_poller,
    each_abi polls_in_a_row_wake,
}
