// SPDX-License-Identifier: GPL-2.0
//! Where vcpu_info may be, and what becomes of events while it is away.

use nix::errno::Errno;

use crate::topic;
use harness::abi::layout::VCPU_INFO_SIZE;
use harness::abi::{Abi, PAGE_SIZE};
use harness::attr::INVALID_GPA;
use harness::check::{check_eq, check_err};
use harness::guest_code::Entry;
use harness::image::Place;
use harness::kernel::{has, Has};
use harness::machine::{Machine, SPARE_PAGE};
use harness::memory::NO_MEMORY_GPA;
use harness::outcome::Outcome;
use harness::snapshot::Snapshot;

fn deliver_at(abi: Abi, offset: usize) -> Outcome {
    let place = Place {
        page: SPARE_PAGE,
        offset,
    };
    let machine = Machine::builder(abi).vcpu_info_at(&[place]).build()?;
    check_eq("VCPU_INFO", machine.vcpus[0].vcpu_info(), Ok(place.gpa()))?;
    let mut expected = machine.image();
    for port in [1, abi.ports() - 1] {
        expected.deliver(0, port);
        machine.vm.send(port, 0)?;
    }
    expected.check(&machine.area)
}

/// On 4 bytes, across cache lines.
fn place_on_4_bytes_works(abi: Abi) -> Outcome {
    for offset in [0x344, 0x7c4] {
        deliver_at(abi, offset)?;
    }
    Ok(())
}

/// KVM once asked for no alignment, and now for 4 bytes, before it looks at
/// anything else but whether there is to be a vcpu_info at all.
fn unaligned_place_is_refused_or_works(abi: Abi) -> Outcome {
    if !has(Has::VcpuInfoAligned) {
        for offset in [0x341, 0x7fe] {
            deliver_at(abi, offset)?;
        }
        return Ok(());
    }
    let machine = Machine::new(abi)?;
    let before = Snapshot::of(&machine);
    let vcpu = &machine.vcpus[0];
    for offset in [0x341, 0x7fe, PAGE_SIZE - VCPU_INFO_SIZE + 3, PAGE_SIZE - 1] {
        let place = Place {
            page: SPARE_PAGE,
            offset,
        };
        let result = vcpu.set_vcpu_info(place.gpa());
        check_err(format!("page + {offset:#x}"), result, Errno::ENXIO)?;
        let result = vcpu.set_vcpu_info_hva(machine.area.hva(SPARE_PAGE, offset));
        check_err(format!("address + {offset:#x}"), result, Errno::ENXIO)?;
        before.check(&machine)?;
    }
    let result = vcpu.set_vcpu_info(NO_MEMORY_GPA + 2);
    check_err("address without memory", result, Errno::ENXIO)?;
    let result = vcpu.set_vcpu_info_hva(u64::MAX);
    check_err("address of no user", result, Errno::ENXIO)?;
    before.check(&machine)
}

/// The last 64 bytes of a page, and the first.
fn page_edges_work(abi: Abi) -> Outcome {
    deliver_at(abi, PAGE_SIZE - VCPU_INFO_SIZE)?;
    deliver_at(abi, 0)
}

/// It must not cross into another page, by guest address or the VMM's.
fn place_across_pages_is_einval(abi: Abi) -> Outcome {
    let machine = Machine::new(abi)?;
    let before = Snapshot::of(&machine);
    let vcpu = &machine.vcpus[0];
    for offset in [PAGE_SIZE - VCPU_INFO_SIZE + 4, PAGE_SIZE - 4] {
        let place = Place {
            page: SPARE_PAGE,
            offset,
        };
        let result = vcpu.set_vcpu_info(place.gpa());
        check_err(format!("page + {offset:#x}"), result, Errno::EINVAL)?;
        before.check(&machine)?;
        let result = vcpu.set_vcpu_info_hva(machine.area.hva(SPARE_PAGE, offset));
        check_err(format!("address + {offset:#x}"), result, Errno::EINVAL)?;
        before.check(&machine)?;
    }
    Ok(())
}

/// An address without memory is an error, yet it is remembered.
fn gpa_outside_memslots_is_efault_and_kept() -> Outcome {
    let machine = Machine::new(Abi::Bits64)?;
    let vcpu = &machine.vcpus[0];
    check_err(
        "address without memory",
        vcpu.set_vcpu_info(NO_MEMORY_GPA),
        Errno::EFAULT,
    )?;
    check_eq("VCPU_INFO", vcpu.vcpu_info(), Ok(NO_MEMORY_GPA))
}

/// By guest address or by the VMM's; the last call decides.
fn gpa_and_hva_replace_each_other() -> Outcome {
    let machine = Machine::new(Abi::Bits64)?;
    let vcpu = &machine.vcpus[0];
    let place = machine.place(0);
    let hva = machine.area.hva(place.page, place.offset);
    for (gpa, hva) in [(place.gpa(), 0), (INVALID_GPA, hva), (place.gpa(), 0)] {
        if hva == 0 {
            vcpu.set_vcpu_info(gpa)?;
        } else {
            vcpu.set_vcpu_info_hva(hva)?;
        }
        check_eq("VCPU_INFO", vcpu.vcpu_info(), Ok(gpa))?;
        check_eq("VCPU_INFO_HVA", vcpu.vcpu_info_hva(), Ok(hva))?;
    }
    Ok(())
}

/// KVM_XEN_INVALID_GPA and address 0, whichever way it was set.
fn invalid_gpa_and_zero_hva_disable() -> Outcome {
    let machine = Machine::new(Abi::Bits64)?;
    let vcpu = &machine.vcpus[0];
    let by_gpa = || vcpu.set_vcpu_info(INVALID_GPA);
    let by_hva = || vcpu.set_vcpu_info_hva(0);
    let ways: [&dyn Fn() -> nix::Result<()>; 2] = [&by_gpa, &by_hva];
    for disable in ways {
        machine.set_vcpu_info(0)?;
        disable()?;
        check_eq("VCPU_INFO", vcpu.vcpu_info(), Ok(INVALID_GPA))?;
        check_eq("VCPU_INFO_HVA", vcpu.vcpu_info_hva(), Ok(0))?;
    }
    Ok(())
}

/// Events sent before vcpu_info is known appear in it when the vCPU has run.
fn events_before_vcpu_info_are_kept(abi: Abi) -> Outcome {
    let mut machine = Machine::builder(abi).without_vcpu_info().build()?;
    machine.boot(0)?;
    let mut expected = machine.image();
    let ports = [3, abi.word_bits() * 9, abi.ports() - 1];
    for port in ports {
        machine.vm.send(port, 0)?;
        expected.shared_info().set_pending(port, true);
        expected.check(&machine.area)?;
    }
    machine.set_vcpu_info(0)?;
    expected.check(&machine.area)?;

    for port in ports {
        expected.vcpu_info(0).raise(port);
    }
    machine.vcpus[0].complete(Entry::Cpuid)?;
    expected.check_but_clocks(&machine.area)
}

/// A vCPU that never had vcpu_info runs on with its event. (In 7.2, C trips the
/// WARN_ON_ONCE in pfncache.c that evtchn_send.rs tells of.)
fn vcpu_without_vcpu_info_runs_on(abi: Abi) -> Outcome {
    let mut machine = Machine::builder(abi).without_vcpu_info().build()?;
    machine.boot(0)?;
    let mut expected = machine.image();
    expected.shared_info().set_pending(3, true);
    machine.vm.send(3, 0)?;
    for _ in 0..3 {
        machine.vcpus[0].complete(Entry::Cpuid)?;
    }
    expected.check(&machine.area)
}

/// They appear once: what the guest has cleared does not come back.
fn kept_events_are_told_once(abi: Abi) -> Outcome {
    let mut machine = Machine::builder(abi).without_vcpu_info().build()?;
    machine.boot(0)?;
    machine.vm.send(3, 0)?;
    machine.set_vcpu_info(0)?;
    machine.vcpus[0].complete(Entry::Cpuid)?;
    check_eq("upcall_pending", machine.vcpu_info(0).upcall_pending(), 1)?;
    machine.vcpu_info(0).acknowledge();
    let expected = machine.image();
    machine.vcpus[0].complete(Entry::Cpuid)?;
    expected.check_but_clocks(&machine.area)
}

/// A masked port's event is not kept for the vCPU: nobody must be told of it.
fn masked_events_before_vcpu_info_are_not_kept(abi: Abi) -> Outcome {
    let mut machine = Machine::builder(abi).without_vcpu_info().build()?;
    machine.boot(0)?;
    machine.shared_info().set_masked(3, true);
    let mut expected = machine.image();
    expected.shared_info().set_pending(3, true);
    machine.vm.send(3, 0)?;
    machine.set_vcpu_info(0)?;
    machine.vcpus[0].complete(Entry::Cpuid)?;
    expected.check_but_clocks(&machine.area)
}

/// Kept events join those that the guest has in vcpu_info already.
fn kept_events_join_those_in_vcpu_info(abi: Abi) -> Outcome {
    let mut machine = Machine::new(abi)?;
    machine.boot(0)?;
    machine.vm.send(3, 0)?;
    machine.vcpus[0].set_vcpu_info(INVALID_GPA)?;
    let port = abi.word_bits() * 5;
    machine.vm.send(port, 0)?;
    machine.set_vcpu_info(0)?;
    let mut expected = machine.image();
    expected.vcpu_info(0).raise(port);
    machine.vcpus[0].complete(Entry::Cpuid)?;
    expected.check_but_clocks(&machine.area)?;
    let selectors = 1 | (1 << 5);
    check_eq("pending_sel", machine.vcpu_info(0).pending_sel(), selectors)
}

topic! { "vcpu_info";
    each_abi place_on_4_bytes_works,
    each_abi unaligned_place_is_refused_or_works,
    each_abi page_edges_work,
    each_abi place_across_pages_is_einval,
    once gpa_outside_memslots_is_efault_and_kept,
    once gpa_and_hva_replace_each_other,
    once invalid_gpa_and_zero_hva_disable,
    each_abi events_before_vcpu_info_are_kept,
    each_abi vcpu_without_vcpu_info_runs_on,
    each_abi kept_events_are_told_once,
    each_abi masked_events_before_vcpu_info_are_not_kept,
    each_abi kept_events_join_those_in_vcpu_info,
}
