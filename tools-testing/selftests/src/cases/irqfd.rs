// SPDX-License-Identifier: GPL-2.0
//! Interrupt routes of type KVM_IRQ_ROUTING_XEN_EVTCHN, triggered by eventfds
//! and by KVM_IRQ_LINE_STATUS.

use nix::errno::Errno;

use crate::topic;
use harness::abi::Abi;
use harness::attr::INVALID_GFN;
use harness::background::run_while;
use harness::check::{check_eq, check_err, check_ok};
use harness::guest_code::Entry;
use harness::irqfd::Route;
use harness::machine::Machine;
use harness::outcome::Outcome;
use harness::vcpu::Exit;

/// Any line will do.
const GSI: u32 = 40;
/// What KVM_IRQ_LINE_STATUS tells of an event that got nowhere.
const IGNORED: i32 = -1;
const COALESCED: i32 = 0;
const DELIVERED: i32 = 1;

/// A write to the eventfd sets the same bits as the ioctl does.
fn signal_is_delivered(abi: Abi) -> Outcome {
    let machine = Machine::new(abi)?;
    let port = abi.ports() - 1;
    machine.vm.set_routes(&[Route::new(GSI, port, 0)])?;
    let irqfd = machine.vm.irqfd(GSI)?;
    let mut expected = machine.image();
    expected.deliver(0, port);
    irqfd.signal()?;
    expected.check(&machine.area)
}

/// A masked port gets its pending bit and nothing else.
fn signal_to_a_masked_port_sets_only_the_pending_bit(abi: Abi) -> Outcome {
    let machine = Machine::new(abi)?;
    machine.vm.set_routes(&[Route::new(GSI, 8, 0)])?;
    let irqfd = machine.vm.irqfd(GSI)?;
    machine.shared_info().set_masked(8, true);
    let mut expected = machine.image();
    expected.shared_info().set_pending(8, true);
    irqfd.signal()?;
    expected.check(&machine.area)
}

/// A second signal before the guest has looked is coalesced with the first.
fn second_signal_changes_nothing(abi: Abi) -> Outcome {
    let machine = Machine::new(abi)?;
    machine.vm.set_routes(&[Route::new(GSI, 8, 0)])?;
    let irqfd = machine.vm.irqfd(GSI)?;
    irqfd.signal()?;
    machine.vcpu_info(0).acknowledge();
    let before = machine.image();
    irqfd.signal()?;
    before.check(&machine.area)
}

/// Once the guest has cleared its bit, the port can become pending again.
fn signal_after_the_guest_cleared_is_delivered(abi: Abi) -> Outcome {
    let machine = Machine::new(abi)?;
    machine.vm.set_routes(&[Route::new(GSI, 8, 0)])?;
    let irqfd = machine.vm.irqfd(GSI)?;
    for _ in 0..3 {
        machine.clear_events();
        let mut expected = machine.image();
        expected.deliver(0, 8);
        irqfd.signal()?;
        expected.check(&machine.area)?;
    }
    Ok(())
}

/// Lines are apart, each with its port and vCPU.
fn lines_have_their_own_ports(abi: Abi) -> Outcome {
    let machine = Machine::builder(abi).vcpus(&[0, 3]).build()?;
    machine
        .vm
        .set_routes(&[Route::new(GSI, 8, 0), Route::new(GSI + 1, 9, 3)])?;
    let (first, second) = (machine.vm.irqfd(GSI)?, machine.vm.irqfd(GSI + 1)?);
    let mut expected = machine.image();
    expected.deliver(1, 9);
    second.signal()?;
    expected.check(&machine.area)?;
    expected.deliver(0, 8);
    first.signal()?;
    expected.check(&machine.area)
}

/// New routes hold for eventfds that are tied already.
fn changed_route_is_followed(abi: Abi) -> Outcome {
    let machine = Machine::builder(abi).vcpus(&[0, 1]).build()?;
    machine.vm.set_routes(&[Route::new(GSI, 8, 0)])?;
    let irqfd = machine.vm.irqfd(GSI)?;
    machine.vm.set_routes(&[Route::new(GSI, 300, 1)])?;
    let mut expected = machine.image();
    expected.deliver(1, 300);
    irqfd.signal()?;
    expected.check(&machine.area)
}

/// When a VM is restored, routes may come before vCPUs.
fn vcpu_may_come_after_the_route(abi: Abi) -> Outcome {
    let mut machine = Machine::builder(abi).vcpus(&[0, 1]).build()?;
    // vCPU 2 is made below; its vcpu_info is set there.
    machine.vm.set_routes(&[Route::new(GSI, 8, 2)])?;
    let irqfd = machine.vm.irqfd(GSI)?;

    let before = machine.image();
    irqfd.signal()?;
    before.check(&machine.area)?;

    machine.add_vcpu_with_info(2)?;
    let mut expected = machine.image();
    expected.deliver(2, 8);
    irqfd.signal()?;
    expected.check(&machine.area)
}

/// FIFO event channels are not there; the routes stay as they were.
fn other_priorities_are_einval_and_change_no_route(abi: Abi) -> Outcome {
    let machine = Machine::new(abi)?;
    let good = Route::new(GSI, 8, 0);
    machine.vm.set_routes(&[good])?;
    let irqfd = machine.vm.irqfd(GSI)?;
    for priority in [0, 1, 7, u32::MAX - 1] {
        let bad = Route {
            priority,
            ..Route::new(GSI, 9, 0)
        };
        let what = format!("priority {priority}");
        check_err(&what, machine.vm.set_routes(&[bad]), Errno::EINVAL)?;
        let result = machine.vm.set_routes(&[Route::new(GSI + 1, 7, 0), bad]);
        check_err(&what, result, Errno::EINVAL)?;
    }
    let mut expected = machine.image();
    expected.deliver(0, 8);
    irqfd.signal()?;
    expected.check(&machine.area)
}

/// Routes may name any port; what does not exist is dropped when triggered.
fn port_beyond_the_abi_is_dropped(abi: Abi) -> Outcome {
    let machine = Machine::new(abi)?;
    let before = machine.image();
    for port in [abi.ports(), 1 << 31, u32::MAX] {
        let result = machine.vm.set_routes(&[Route::new(GSI, port, 0)]);
        check_ok(format!("route to port {port}"), result)?;
        let irqfd = machine.vm.irqfd(GSI)?;
        irqfd.signal()?;
        irqfd.finish(&machine.vm)?;
        before.check(&machine.area)?;
    }
    Ok(())
}

/// A restored VM learns its word size after its routes.
fn port_counts_once_long_mode_has_it() -> Outcome {
    let mut machine = Machine::new(Abi::Bits32)?;
    machine.vm.set_routes(&[Route::new(GSI, 2000, 0)])?;
    let irqfd = machine.vm.irqfd(GSI)?;
    irqfd.signal()?;
    machine.vm.set_long_mode(1)?;
    machine.abi = Abi::Bits64;
    machine.clear_events();
    let mut expected = machine.image();
    expected.deliver(0, 2000);
    irqfd.signal()?;
    expected.check(&machine.area)
}

/// Guests have no port 0, but routes may name it: KVM sets its bit.
fn port_0_is_not_special(abi: Abi) -> Outcome {
    let machine = Machine::new(abi)?;
    machine.vm.set_routes(&[Route::new(GSI, 0, 0)])?;
    let irqfd = machine.vm.irqfd(GSI)?;
    let mut expected = machine.image();
    expected.deliver(0, 0);
    irqfd.signal()?;
    expected.check(&machine.area)
}

/// Delivered, coalesced and ignored events have different results.
fn line_status_tells_what_came_of_it(abi: Abi) -> Outcome {
    let machine = Machine::new(abi)?;
    machine.vm.set_routes(&[
        Route::new(GSI, 8, 0),
        Route::new(GSI + 1, 9, 0),
        Route::new(GSI + 2, abi.ports(), 0),
        Route::new(GSI + 3, 10, 1),
    ])?;
    machine.shared_info().set_masked(9, true);
    let status = |gsi| machine.vm.irq_line_status(gsi, 1);
    check_eq("unmasked", status(GSI), Ok(DELIVERED))?;
    check_eq("pending", status(GSI), Ok(COALESCED))?;
    check_eq("masked", status(GSI + 1), Ok(IGNORED))?;
    check_eq("masked and pending", status(GSI + 1), Ok(COALESCED))?;
    check_eq("no such port", status(GSI + 2), Ok(IGNORED))?;
    check_eq("no such vCPU", status(GSI + 3), Ok(IGNORED))?;
    machine.vm.set_shared_info(INVALID_GFN)?;
    check_eq("no shared_info", status(GSI), Ok(IGNORED))
}

/// A guest that waits for an interrupt gets it from the eventfd.
fn signal_wakes_a_halted_vcpu(abi: Abi) -> Outcome {
    const VECTOR: u8 = 0x55;
    let mut machine = Machine::new(abi)?;
    machine.boot(0)?;
    machine.vm.set_upcall_vector(VECTOR)?;
    machine.vm.set_routes(&[Route::new(GSI, 8, 0)])?;
    let irqfd = machine.vm.irqfd(GSI)?;
    let exit = run_while(&mut machine.vcpus[0], Entry::Halt, || irqfd.signal())?;
    check_eq("exit", exit, Exit::Interrupt(VECTOR))
}

/// Event channels have no level: only a rise counts.
fn lowering_a_line_does_nothing(abi: Abi) -> Outcome {
    let machine = Machine::new(abi)?;
    machine.vm.set_routes(&[Route::new(GSI, 8, 0)])?;
    let before = machine.image();
    let status = machine.vm.irq_line_status(GSI, 0);
    check_eq("status", status, Ok(IGNORED))?;
    before.check(&machine.area)
}

topic! { "irqfd";
    each_abi signal_is_delivered,
    each_abi signal_to_a_masked_port_sets_only_the_pending_bit,
    each_abi second_signal_changes_nothing,
    each_abi signal_after_the_guest_cleared_is_delivered,
    each_abi lines_have_their_own_ports,
    each_abi changed_route_is_followed,
    each_abi vcpu_may_come_after_the_route,
    each_abi other_priorities_are_einval_and_change_no_route,
    each_abi port_beyond_the_abi_is_dropped,
    once port_counts_once_long_mode_has_it,
    each_abi port_0_is_not_special,
    each_abi line_status_tells_what_came_of_it,
    each_abi signal_wakes_a_halted_vcpu,
    each_abi lowering_a_line_does_nothing,
}
