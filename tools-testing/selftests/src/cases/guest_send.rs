// SPDX-License-Identifier: GPL-2.0
//! EVTCHNOP_send by a running guest, to each kind of port.

use nix::errno::Errno;
use vmm_sys_util::eventfd::{EventFd, EFD_NONBLOCK};

use crate::topic;
use harness::abi::hypercall::*;
use harness::abi::Abi;
use harness::attr::INVALID_GFN;
use harness::check::{check_eq, check_err};
use harness::guest_cpu::DATA;
use harness::machine::Machine;
use harness::outcome::Outcome;
use harness::port::Port;
use harness::vcpu::Exit;

/// Guest code that sends to a port finds it there.
const ARGUMENT: u64 = DATA;

/// A guest whose vCPU 0 can make hypercalls.
fn guest(abi: Abi) -> Outcome<Machine> {
    guest_with_vcpus(abi, &[0])
}

fn guest_with_vcpus(abi: Abi, ids: &[u32]) -> Outcome<Machine> {
    let mut machine = Machine::builder(abi).vcpus(ids).build()?;
    machine.boot_with_hypercalls(0)?;
    Ok(machine)
}

/// EVTCHNOP_send from vCPU 0.
fn guest_send(machine: &mut Machine, port: u32) -> Outcome<Exit> {
    machine.ram.write(ARGUMENT, &port.to_le_bytes())?;
    let params = [EVTCHNOP_SEND, ARGUMENT];
    Ok(machine.vcpus[0].hypercall(EVENT_CHANNEL_OP, &params)?)
}

/// Sends, and fails unless KVM does it all and returns 0.
#[track_caller]
fn check_sent(machine: &mut Machine, port: u32) -> Outcome {
    let exit = guest_send(machine, port)?;
    check_eq(format!("exit of a send to {port}"), exit, Exit::Done)?;
    let result = machine.vcpus[0].result()?;
    check_eq(format!("result of a send to {port}"), result, 0)
}

/// Sends, and fails unless KVM leaves it to the VMM.
#[track_caller]
fn check_left_to_vmm(machine: &mut Machine, port: u32) -> Outcome {
    let params = [EVTCHNOP_SEND, ARGUMENT];
    let expected = Exit::for_the_vmm(machine.abi, 0, EVENT_CHANNEL_OP, &params);
    let exit = guest_send(machine, port)?;
    check_eq(format!("exit of a send to {port}"), exit, expected)
}

/// An IPI to the vCPU itself, and one to another.
fn ipi_is_delivered(abi: Abi) -> Outcome {
    let mut machine = guest_with_vcpus(abi, &[0, 2])?;
    let last = abi.ports() - 1;
    machine.vm.assign(Port::ipi(5, 0))?;
    machine.vm.assign(Port::ipi(last, 2))?;
    let mut expected = machine.image();
    expected.deliver(0, 5);
    check_sent(&mut machine, 5)?;
    expected.check_but_clocks(&machine.area)?;
    expected.deliver(1, last);
    check_sent(&mut machine, last)?;
    expected.check_but_clocks(&machine.area)
}

/// The port at the other end becomes pending, not the one sent to.
fn interdomain_port_is_delivered(abi: Abi) -> Outcome {
    let mut machine = guest_with_vcpus(abi, &[0, 1])?;
    machine.vm.assign(Port::interdomain(5, 77, 1))?;
    let mut expected = machine.image();
    expected.deliver(1, 77);
    check_sent(&mut machine, 5)?;
    expected.check_but_clocks(&machine.area)
}

/// The VMM's eventfd counts the events; guest memory is not involved.
fn eventfd_counts_events(abi: Abi) -> Outcome {
    let mut machine = guest(abi)?;
    let eventfd = EventFd::new(EFD_NONBLOCK)?;
    machine.vm.assign(Port::eventfd(5, &eventfd))?;
    let before = machine.image();
    for events in [1, 3] {
        for _ in 0..events {
            check_sent(&mut machine, 5)?;
        }
        check_eq("events", eventfd.read()?, events)?;
    }
    check_eq("events", eventfd.read().is_err(), true)?;
    before.check_but_clocks(&machine.area)
}

/// KVM holds the eventfd: the VMM may close its own.
fn closed_eventfd_can_still_be_sent_to(abi: Abi) -> Outcome {
    let mut machine = guest(abi)?;
    let eventfd = EventFd::new(EFD_NONBLOCK)?;
    let copy = eventfd.try_clone()?;
    machine.vm.assign(Port::eventfd(5, &eventfd))?;
    drop(eventfd);
    check_sent(&mut machine, 5)?;
    check_eq("events", copy.read()?, 1)?;
    drop(copy);
    check_sent(&mut machine, 5)
}

/// A masked port's event is sent, as far as the sender knows.
fn send_to_a_masked_port_returns_0(abi: Abi) -> Outcome {
    let mut machine = guest(abi)?;
    machine.vm.assign(Port::ipi(5, 0))?;
    machine.shared_info().set_masked(5, true);
    let mut expected = machine.image();
    expected.shared_info().set_pending(5, true);
    check_sent(&mut machine, 5)?;
    expected.check_but_clocks(&machine.area)
}

/// So is an event that is coalesced.
fn send_to_a_pending_port_returns_0(abi: Abi) -> Outcome {
    let mut machine = guest(abi)?;
    machine.vm.assign(Port::ipi(5, 0))?;
    machine.shared_info().set_pending(5, true);
    let expected = machine.image();
    check_sent(&mut machine, 5)?;
    expected.check_but_clocks(&machine.area)
}

/// The VMM gets what KVM does not know, and its result goes to the guest.
fn unknown_port_is_left_to_the_vmm(abi: Abi) -> Outcome {
    const XEN_ENOENT: u64 = -2_i64 as u64;
    let mut machine = guest(abi)?;
    machine.vm.assign(Port::ipi(5, 0))?;
    let before = machine.image();
    for port in [0, 4, 6, abi.ports(), u32::MAX] {
        check_left_to_vmm(&mut machine, port)?;
        let vcpu = &mut machine.vcpus[0];
        let exit = vcpu.return_to_guest(XEN_ENOENT)?;
        check_eq("exit", exit, Exit::Done)?;
        check_eq("result", vcpu.result()?, XEN_ENOENT)?;
    }
    before.check_but_clocks(&machine.area)
}

/// A port number that can't be read.
fn bad_pointer_returns_efault(abi: Abi) -> Outcome {
    let mut machine = guest(abi)?;
    machine.vm.assign(Port::ipi(5, 0))?;
    let before = machine.image();
    // Not mapped in 64 bits, no memory in 32 bits.
    let nowhere = match abi {
        Abi::Bits32 => 0x8000_0000,
        Abi::Bits64 => 1 << 40,
    };
    let result = machine.vcpus[0].call(EVENT_CHANNEL_OP, &[EVTCHNOP_SEND, nowhere])?;
    check_eq("result", result, XEN_EFAULT)?;
    before.check_but_clocks(&machine.area)
}

/// A port number across two pages is read all the same.
fn argument_may_cross_pages(abi: Abi) -> Outcome {
    let mut machine = guest(abi)?;
    let eventfd = EventFd::new(EFD_NONBLOCK)?;
    machine.vm.assign(Port::eventfd(0x3a5, &eventfd))?;
    let argument = DATA + 0xfff;
    machine.ram.write(argument, &0x3a5_u32.to_le_bytes())?;
    machine.vcpus[0].call(EVENT_CHANNEL_OP, &[EVTCHNOP_SEND, argument])?;
    check_eq("events", eventfd.read()?, 1)
}

/// A target that does not exist now; the VMM may know more.
fn missing_vcpu_is_left_to_the_vmm_until_it_comes(abi: Abi) -> Outcome {
    let mut machine = guest(abi)?;
    machine.vm.assign(Port::ipi(5, 1))?;
    let before = machine.image();
    check_left_to_vmm(&mut machine, 5)?;
    before.check_but_clocks(&machine.area)?;
    machine.add_vcpu_with_info(1)?;
    let mut expected = machine.image();
    expected.deliver(1, 5);
    check_sent(&mut machine, 5)?;
    expected.check_but_clocks(&machine.area)
}

/// Without shared_info KVM can't deliver, but eventfds don't need it.
fn missing_shared_info_is_left_to_the_vmm(abi: Abi) -> Outcome {
    let mut machine = guest(abi)?;
    let eventfd = EventFd::new(EFD_NONBLOCK)?;
    machine.vm.assign(Port::ipi(5, 0))?;
    machine.vm.assign(Port::eventfd(6, &eventfd))?;
    machine.vm.set_shared_info(INVALID_GFN)?;
    check_left_to_vmm(&mut machine, 5)?;
    check_sent(&mut machine, 6)
}

/// After deassign KVM knows the port no more.
fn deassigned_port_is_left_to_the_vmm(abi: Abi) -> Outcome {
    let mut machine = guest(abi)?;
    let eventfd = EventFd::new(EFD_NONBLOCK)?;
    machine.vm.assign(Port::ipi(5, 0))?;
    machine.vm.assign(Port::eventfd(6, &eventfd))?;
    machine.vm.deassign(5)?;
    check_left_to_vmm(&mut machine, 5)?;
    check_sent(&mut machine, 6)?;
    machine.vm.deassign(6)?;
    check_left_to_vmm(&mut machine, 6)?;
    check_eq("events", eventfd.read()?, 1)
}

/// After reset KVM knows no port.
fn reset_ports_are_left_to_the_vmm(abi: Abi) -> Outcome {
    let mut machine = guest(abi)?;
    let eventfd = EventFd::new(EFD_NONBLOCK)?;
    machine.vm.assign(Port::ipi(5, 0))?;
    machine.vm.assign(Port::eventfd(6, &eventfd))?;
    machine.vm.reset_ports()?;
    for port in [5, 6] {
        check_left_to_vmm(&mut machine, port)?;
    }
    machine.vm.assign(Port::eventfd(5, &eventfd))?;
    check_sent(&mut machine, 5)?;
    check_eq("events", eventfd.read()?, 1)
}

/// After an update events go to the new vCPU, also when some were sent before.
fn updated_port_goes_to_the_new_vcpu(abi: Abi) -> Outcome {
    let mut machine = guest_with_vcpus(abi, &[0, 1])?;
    machine.vm.assign(Port::interdomain(5, 9, 0))?;
    for (index, id) in [(0, 0), (1, 1), (0, 0)] {
        machine.vm.update(Port::interdomain(5, 9, id))?;
        machine.clear_events();
        let mut expected = machine.image();
        expected.deliver(index, 9);
        check_sent(&mut machine, 5)?;
        expected.check_but_clocks(&machine.area)?;
    }
    Ok(())
}

/// After a refused update events go where they went before.
fn refused_update_changes_nothing(abi: Abi) -> Outcome {
    let mut machine = guest_with_vcpus(abi, &[0, 1])?;
    machine.vm.assign(Port::interdomain(5, 9, 0))?;
    for bad in [
        Port::interdomain(5, 10, 1),
        Port::ipi(5, 1),
        Port::interdomain(5, 9, 1).priority(0),
    ] {
        check_err(format!("{bad:?}"), machine.vm.update(bad), Errno::EINVAL)?;
        machine.clear_events();
        let mut expected = machine.image();
        expected.deliver(0, 9);
        check_sent(&mut machine, 5)?;
        expected.check_but_clocks(&machine.area)?;
    }
    Ok(())
}

/// After a refused assignment the port is the first one's.
fn refused_assignment_changes_nothing(abi: Abi) -> Outcome {
    let mut machine = guest_with_vcpus(abi, &[0, 1])?;
    let eventfd = EventFd::new(EFD_NONBLOCK)?;
    machine.vm.assign(Port::ipi(5, 0))?;
    for again in [Port::ipi(5, 1), Port::eventfd(5, &eventfd)] {
        let result = machine.vm.assign(again);
        check_err(format!("{again:?}"), result, Errno::EEXIST)?;
    }
    let mut expected = machine.image();
    expected.deliver(0, 5);
    check_sent(&mut machine, 5)?;
    expected.check_but_clocks(&machine.area)
}

/// A port that the word size no longer has.
fn port_beyond_the_abi_is_left_to_the_vmm() -> Outcome {
    let mut machine = guest(Abi::Bits64)?;
    machine.vm.assign(Port::ipi(2000, 0))?;
    check_sent(&mut machine, 2000)?;
    machine.vm.set_long_mode(0)?;
    let before = machine.image();
    check_left_to_vmm(&mut machine, 2000)?;
    before.check_but_clocks(&machine.area)
}

topic! { "guest_send";
    each_abi ipi_is_delivered,
    each_abi interdomain_port_is_delivered,
    each_abi eventfd_counts_events,
    each_abi closed_eventfd_can_still_be_sent_to,
    each_abi send_to_a_masked_port_returns_0,
    each_abi send_to_a_pending_port_returns_0,
    each_abi unknown_port_is_left_to_the_vmm,
    each_abi bad_pointer_returns_efault,
    each_abi argument_may_cross_pages,
    each_abi missing_vcpu_is_left_to_the_vmm_until_it_comes,
    each_abi missing_shared_info_is_left_to_the_vmm,
    each_abi deassigned_port_is_left_to_the_vmm,
    each_abi reset_ports_are_left_to_the_vmm,
    each_abi updated_port_goes_to_the_new_vcpu,
    each_abi refused_update_changes_nothing,
    each_abi refused_assignment_changes_nothing,
    once port_beyond_the_abi_is_left_to_the_vmm,
}
