// SPDX-License-Identifier: GPL-2.0
//! Events whose structures KVM has lost sight of: pages dropped, memory moved
//! or taken away. Eventfds get theirs through a workqueue that borrows the
//! VMM's address space, and no event is lost on the way.

use std::mem::replace;

use nix::errno::Errno;

use crate::topic;
use harness::abi::Abi;
use harness::check::{check, check_eq, check_err, eventually};
use harness::guest_code::Entry;
use harness::irqfd::{Irqfd, Route};
use harness::machine::{Machine, SHARED_INFO_PAGE};
use harness::memory::Area;
use harness::outcome::Outcome;

const GSI: u32 = 40;
const PORT: u32 = 130;
/// Enough for the workqueue to meet a page in every state.
const ROUNDS: u32 = 200;

/// A guest with an eventfd that makes [`PORT`] pending.
fn guest(abi: Abi) -> Outcome<(Machine, Irqfd)> {
    let machine = Machine::new(abi)?;
    machine.vm.set_routes(&[Route::new(GSI, PORT, 0)])?;
    let irqfd = machine.vm.irqfd(GSI)?;
    Ok((machine, irqfd))
}

#[track_caller]
fn wait_for_upcall(machine: &Machine) -> Outcome {
    eventually("an upcall to be pending", || {
        machine.vcpu_info(0).upcall_pending() == 1
    })
}

#[track_caller]
fn wait_for_port(machine: &Machine) -> Outcome {
    eventually("the port to be pending", || {
        machine.shared_info().pending(PORT)
    })
}

/// A page dropped by the VMM: the event is in the page that comes next.
fn signal_after_discard_is_delivered(abi: Abi) -> Outcome {
    let (machine, irqfd) = guest(abi)?;
    let mut expected = machine.image();
    expected.clear_page(SHARED_INFO_PAGE);
    expected.deliver(0, PORT);
    machine.area.discard(SHARED_INFO_PAGE)?;
    irqfd.signal()?;
    wait_for_upcall(&machine)?;
    expected.check(&machine.area)
}

/// The ioctl finds the new page by itself.
fn ioctl_after_discard_is_delivered(abi: Abi) -> Outcome {
    let machine = Machine::new(abi)?;
    let mut expected = machine.image();
    expected.clear_page(SHARED_INFO_PAGE);
    expected.deliver(0, PORT);
    machine.area.discard(SHARED_INFO_PAGE)?;
    machine.vm.send(PORT, 0)?;
    expected.check(&machine.area)
}

/// Dropped again and again; each event must come.
fn every_signal_of_a_discard_storm_is_delivered(abi: Abi) -> Outcome {
    let (machine, irqfd) = guest(abi)?;
    for _ in 0..ROUNDS {
        machine.vcpu_info(0).acknowledge();
        machine.area.discard(SHARED_INFO_PAGE)?;
        irqfd.signal()?;
        wait_for_upcall(&machine)?;
    }
    Ok(())
}

/// Given by address, a dropped page is found anew just as well.
fn signal_after_discard_of_an_hva_is_delivered(abi: Abi) -> Outcome {
    let (machine, irqfd) = guest(abi)?;
    let hva = machine.area.hva(SHARED_INFO_PAGE, 0);
    machine.vm.set_shared_info_hva(hva)?;
    machine.area.discard(SHARED_INFO_PAGE)?;
    irqfd.signal()?;
    wait_for_port(&machine)?;
    wait_for_upcall(&machine)
}

/// The guest's memory is now elsewhere in the VMM: the event goes there. Its
/// vcpu_info has moved too, so the vCPU finds the rest when it runs.
fn signal_after_a_memslot_move_is_delivered(abi: Abi) -> Outcome {
    let (mut machine, irqfd) = guest(abi)?;
    machine.boot(0)?;
    let old = replace(&mut machine.area, Area::unattached()?);
    machine.clear_events();
    Area::detach(&machine.vm)?;
    machine.area.attach(&machine.vm)?;
    let untouched = old.bytes();

    let mut expected = machine.image();
    expected.shared_info().set_pending(PORT, true);
    irqfd.signal()?;
    wait_for_port(&machine)?;
    expected.check(&machine.area)?;

    expected.vcpu_info(0).raise(PORT);
    machine.vcpus[0].complete(Entry::Cpuid)?;
    expected.check_but_clocks(&machine.area)?;
    check("the old memory to rest", old.bytes() == untouched)
}

/// Structures given by address are not affected by memory slots.
fn memslot_move_does_not_affect_hvas(abi: Abi) -> Outcome {
    let (machine, irqfd) = guest(abi)?;
    let place = machine.place(0);
    let hva = machine.area.hva(SHARED_INFO_PAGE, 0);
    machine.vm.set_shared_info_hva(hva)?;
    machine.vcpus[0].set_vcpu_info_hva(machine.area.hva(place.page, place.offset))?;
    Area::detach(&machine.vm)?;
    let mut expected = machine.image();
    expected.deliver(0, PORT);
    irqfd.signal()?;
    expected.check(&machine.area)
}

/// A change to other memory makes KVM look again, and find the same.
fn unrelated_memslot_change_loses_nothing(abi: Abi) -> Outcome {
    let (mut machine, irqfd) = guest(abi)?;
    machine.boot(0)?;
    let other = Area::unattached()?;
    other.attach_elsewhere(&machine.vm)?;
    let mut expected = machine.image();
    expected.shared_info().set_pending(PORT, true);
    irqfd.signal()?;
    wait_for_port(&machine)?;
    expected.check(&machine.area)?;
    expected.vcpu_info(0).raise(PORT);
    machine.vcpus[0].complete(Entry::Cpuid)?;
    expected.check_but_clocks(&machine.area)
}

/// Without its memory shared_info can't take events; with it, it can again.
fn events_go_on_when_memory_is_back(abi: Abi) -> Outcome {
    let (machine, irqfd) = guest(abi)?;
    let before = machine.image();
    Area::detach(&machine.vm)?;
    check_err("send", machine.vm.send(PORT, 0), Errno::EFAULT)?;
    irqfd.signal()?;
    irqfd.finish(&machine.vm)?;
    before.check(&machine.area)?;

    machine.area.attach(&machine.vm)?;
    before.check(&machine.area)?;
    let irqfd = machine.vm.irqfd(GSI)?;
    irqfd.signal()?;
    wait_for_port(&machine)
}

/// The same where the page is there, but the VMM may not touch it.
fn events_go_on_when_access_is_back(abi: Abi) -> Outcome {
    let (machine, irqfd) = guest(abi)?;
    let before = machine.image();
    machine.area.forbid(SHARED_INFO_PAGE)?;
    check_err("send", machine.vm.send(PORT, 0), Errno::EFAULT)?;
    irqfd.signal()?;
    irqfd.finish(&machine.vm)?;

    machine.area.permit(SHARED_INFO_PAGE)?;
    before.check(&machine.area)?;
    let irqfd = machine.vm.irqfd(GSI)?;
    irqfd.signal()?;
    wait_for_port(&machine)?;
    wait_for_upcall(&machine)
}

/// A dropped vcpu_info: the event waits for the vCPU to run.
fn event_is_kept_while_vcpu_info_is_discarded(abi: Abi) -> Outcome {
    let mut machine = Machine::new(abi)?;
    machine.boot(0)?;
    let mut expected = machine.image();
    expected.clear_page(machine.place(0).page);
    expected.shared_info().set_pending(PORT, true);
    machine.area.discard(machine.place(0).page)?;
    machine.vm.send(PORT, 0)?;
    expected.check(&machine.area)?;
    expected.vcpu_info(0).raise(PORT);
    machine.vcpus[0].complete(Entry::Cpuid)?;
    expected.check_but_clocks(&machine.area)
}

/// It waits for as long as vcpu_info is out of reach.
fn event_is_kept_while_vcpu_info_is_forbidden(abi: Abi) -> Outcome {
    let mut machine = Machine::new(abi)?;
    machine.boot(0)?;
    let mut expected = machine.image();
    let page = machine.place(0).page;
    machine.area.forbid(page)?;
    machine.vm.send(PORT, 0)?;
    machine.vcpus[0].complete(Entry::Cpuid)?;
    machine.area.permit(page)?;
    expected.shared_info().set_pending(PORT, true);
    expected.check_but_clocks(&machine.area)?;

    expected.vcpu_info(0).raise(PORT);
    machine.vcpus[0].complete(Entry::Cpuid)?;
    expected.check_but_clocks(&machine.area)
}

/// Switching the word size needs the page, to write the wall clock.
fn long_mode_is_efault_yet_set_while_shared_info_is_away(abi: Abi) -> Outcome {
    let machine = Machine::new(abi)?;
    let other = abi.other().long_mode();
    machine.area.forbid(SHARED_INFO_PAGE)?;
    check_err("LONG_MODE", machine.vm.set_long_mode(other), Errno::EFAULT)?;
    check_eq("LONG_MODE", machine.vm.long_mode(), Ok(other))
}

topic! { "slow_path";
    each_abi signal_after_discard_is_delivered,
    each_abi ioctl_after_discard_is_delivered,
    each_abi every_signal_of_a_discard_storm_is_delivered,
    each_abi signal_after_discard_of_an_hva_is_delivered,
    each_abi signal_after_a_memslot_move_is_delivered,
    each_abi memslot_move_does_not_affect_hvas,
    each_abi unrelated_memslot_change_loses_nothing,
    each_abi events_go_on_when_memory_is_back,
    each_abi events_go_on_when_access_is_back,
    each_abi event_is_kept_while_vcpu_info_is_discarded,
    each_abi event_is_kept_while_vcpu_info_is_forbidden,
    each_abi long_mode_is_efault_yet_set_while_shared_info_is_away,
}
