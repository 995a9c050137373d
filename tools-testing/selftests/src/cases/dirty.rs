// SPDX-License-Identifier: GPL-2.0
//! What a VMM that migrates a guest is told of the pages that KVM writes to, in each way that it may
//! be told.

use crate::topic;
use harness::abi::runstate::BLOCKED;
use harness::abi::{Abi, PAGE_SIZE};
use harness::attr::INVALID_GPA;
use harness::check::{check, check_eq};
use harness::dirty::Ring;
use harness::guest_code::Entry;
use harness::machine::{Machine, SHARED_INFO_PAGE, SPARE_PAGE};
use harness::memory::{Area, AREA_SLOT};
use harness::outcome::Outcome;
use harness::runstate;

/// What is written when a vCPU runs or is asked is told. shared_info is the VMM's to copy, whenever,
/// as is what an event writes to vcpu_info at once: whoever sends it need not be a vCPU, and a page
/// that is written to without one has no ring to be in. `told` has the pages that KVM told of since
/// it was last asked.
fn check_told(
    machine: &mut Machine,
    mut told: impl FnMut(&Machine) -> Outcome<Vec<usize>>,
) -> Outcome {
    machine.boot(0)?;
    machine.vcpus[0].complete(Entry::Cpuid)?;
    // Across two pages.
    let gpa = Area::gpa(SPARE_PAGE, PAGE_SIZE - 8);
    runstate::set_address(&machine.vcpus[0], gpa)?;
    machine.area.log_dirty(&machine.vm)?;
    told(machine)?;
    runstate::enter(&machine.vcpus[0], BLOCKED)?;
    let pages = vec![SPARE_PAGE, SPARE_PAGE + 1];
    check_eq("after a change of runstate", told(machine)?, pages)?;
    runstate::set_address(&machine.vcpus[0], INVALID_GPA)?;
    told(machine)?;

    // An event that is kept until the vCPU runs.
    let page = machine.place(0).page;
    machine.area.discard(page)?;
    machine.vm.send(5, 0)?;
    check_eq("after an event was sent", told(machine)?, vec![])?;
    machine.vcpus[0].complete(Entry::Cpuid)?;
    check_eq("selector", machine.vcpu_info(0).pending_sel(), 1)?;
    check_eq("after the vCPU ran", told(machine)?, vec![page])?;

    // The wall clock, and an event that is delivered at once.
    machine.vm.set_shared_info(Area::gfn(SHARED_INFO_PAGE))?;
    machine.vm.set_long_mode(machine.abi.long_mode())?;
    let port = machine.abi.word_bits();
    machine.vm.send(port, 0)?;
    check_eq("selector", machine.vcpu_info(0).pending_sel(), 3)?;
    check_eq("after an event at once", told(machine)?, vec![])
}

fn log_has_vcpu_structures_alone(abi: Abi) -> Outcome {
    let mut machine = Machine::new(abi)?;
    check_told(&mut machine, |machine| Area::take_dirty(&machine.vm))
}

fn log_keeps_them_until_it_is_cleared(abi: Abi) -> Outcome {
    let mut machine = Machine::new(abi)?;
    machine.vm.clear_dirty_log_by_hand()?;
    check_told(&mut machine, |Machine { vm, .. }| {
        let told = Area::take_dirty(vm)?;
        check_eq("the log once more", Area::take_dirty(vm)?, told.clone())?;
        vm.clear_dirty_log()?;
        check_eq("the log when cleared", Area::take_dirty(vm)?, vec![])?;
        Ok(told)
    })
}

fn ring_has_those_of_its_vcpu(abi: Abi) -> Outcome {
    let builder = Machine::builder(abi).vcpus(&[0, 1]).with_dirty_rings();
    let mut machine = builder.build()?;
    let mut first = Ring::of(&machine.vcpus[0])?;
    let mut second = Ring::of(&machine.vcpus[1])?;
    check_told(&mut machine, |machine| {
        let told = first.take();
        check_eq("reset", machine.vm.reset_dirty_rings()?, told.len())?;
        check_eq("what the other vCPU wrote", second.take(), vec![])?;
        let area = told.iter().all(|&(slot, _)| slot == AREA_SLOT);
        check("the slot that is logged", area)?;
        let mut pages: Vec<_> = told.iter().map(|&(_, page)| page).collect();
        pages.sort();
        pages.dedup();
        Ok(pages)
    })?;
    runstate::set_address(&machine.vcpus[1], Area::gpa(SPARE_PAGE, 0))?;
    runstate::enter(&machine.vcpus[1], BLOCKED)?;
    let told = second.take();
    check("the page of the second vCPU", !told.is_empty())?;
    let is_spare = |&entry: &(u32, usize)| entry == (AREA_SLOT, SPARE_PAGE);
    check("no other page", told.iter().all(is_spare))?;
    check_eq("what the first vCPU wrote", first.take(), vec![])
}

topic! { "dirty";
    each_abi log_has_vcpu_structures_alone,
    each_abi log_keeps_them_until_it_is_cleared,
    each_abi ring_has_those_of_its_vcpu,
}
