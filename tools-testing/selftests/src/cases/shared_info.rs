// SPDX-License-Identifier: GPL-2.0
//! Where shared_info is: by guest frame or by address in the VMM.

use nix::errno::Errno;

use crate::topic;
use harness::abi::{Abi, SharedInfo, PAGE_SIZE};
use harness::attr::INVALID_GFN;
use harness::check::{check, check_eq, check_err};
use harness::image::{Image, Place};
use harness::machine::{Machine, SHARED_INFO_PAGE, SPARE_PAGE};
use harness::memory::{Area, NO_MEMORY_GPA};
use harness::outcome::Outcome;
use harness::snapshot::Snapshot;

const NO_MEMORY_GFN: u64 = NO_MEMORY_GPA / PAGE_SIZE as u64;

/// A guest without shared_info.
fn bare() -> Outcome<Machine> {
    Machine::builder(Abi::Bits64).without_shared_info().build()
}

fn check_places(machine: &Machine, gfn: u64, hva: u64) -> Outcome {
    check_eq("SHARED_INFO", machine.vm.shared_info(), Ok(gfn))?;
    check_eq("SHARED_INFO_HVA", machine.vm.shared_info_hva(), Ok(hva))
}

/// A frame with memory; there is no address then.
fn gfn_reads_back() -> Outcome {
    let machine = bare()?;
    for page in [SHARED_INFO_PAGE, SPARE_PAGE, SHARED_INFO_PAGE] {
        machine.vm.set_shared_info(Area::gfn(page))?;
        check_places(&machine, Area::gfn(page), 0)?;
    }
    Ok(())
}

/// An address; there is no frame then.
fn hva_reads_back() -> Outcome {
    let machine = bare()?;
    for page in [SHARED_INFO_PAGE, SPARE_PAGE] {
        let hva = machine.area.hva(page, 0);
        machine.vm.set_shared_info_hva(hva)?;
        check_places(&machine, INVALID_GFN, hva)?;
    }
    Ok(())
}

/// The last call decides which of the two it is.
fn gfn_and_hva_replace_each_other() -> Outcome {
    let machine = bare()?;
    let (gfn, hva) = (Area::gfn(SPARE_PAGE), machine.area.hva(SPARE_PAGE, 0));
    machine.vm.set_shared_info(gfn)?;
    machine.vm.set_shared_info_hva(hva)?;
    check_places(&machine, INVALID_GFN, hva)?;
    machine.vm.set_shared_info(gfn)?;
    check_places(&machine, gfn, 0)
}

/// KVM_XEN_INVALID_GFN and address 0, whichever way it was set.
fn invalid_gfn_and_zero_hva_disable() -> Outcome {
    let machine = bare()?;
    let (gfn, hva) = (Area::gfn(SPARE_PAGE), machine.area.hva(SPARE_PAGE, 0));
    for disable in [
        |machine: &Machine| machine.vm.set_shared_info(INVALID_GFN),
        |machine: &Machine| machine.vm.set_shared_info_hva(0),
    ] {
        machine.vm.set_shared_info(gfn)?;
        disable(&machine)?;
        check_places(&machine, INVALID_GFN, 0)?;
        machine.vm.set_shared_info_hva(hva)?;
        disable(&machine)?;
        check_places(&machine, INVALID_GFN, 0)?;
        // Once more, with nothing to disable.
        disable(&machine)?;
        check_places(&machine, INVALID_GFN, 0)?;
    }
    Ok(())
}

/// A disabled page is not written, and events have no place to go.
fn disabled_page_is_left_alone(abi: Abi) -> Outcome {
    let machine = Machine::new(abi)?;
    machine.vm.set_shared_info(INVALID_GFN)?;
    let before = machine.image();
    check_err("send", machine.vm.send(5, 0), Errno::EINVAL)?;
    machine.vm.set_long_mode(abi.other().long_mode())?;
    before.check(&machine.area)
}

/// An address must be that of a page, and is looked at before anything else.
fn unaligned_hva_is_einval() -> Outcome {
    let machine = Machine::new(Abi::Bits64)?;
    let before = Snapshot::of(&machine);
    for offset in [1, 8, 0x800, PAGE_SIZE - 1] {
        let hva = machine.area.hva(SPARE_PAGE, offset);
        let result = machine.vm.set_shared_info_hva(hva);
        check_err(format!("page + {offset:#x}"), result, Errno::EINVAL)?;
        before.check(&machine)?;
    }
    check_err(
        "address 1",
        machine.vm.set_shared_info_hva(1),
        Errno::EINVAL,
    )?;
    before.check(&machine)
}

/// Addresses of the kernel are not the VMM's to give.
fn kernel_hva_is_einval() -> Outcome {
    let machine = Machine::new(Abi::Bits64)?;
    let before = Snapshot::of(&machine);
    for hva in [1 << 63, 0xffff_8880_0000_0000, u64::MAX - 0xfff] {
        let result = machine.vm.set_shared_info_hva(hva);
        check_err(format!("address {hva:#x}"), result, Errno::EINVAL)?;
        before.check(&machine)?;
    }
    Ok(())
}

/// A frame without memory is an error, yet it is remembered: memory may come.
fn gfn_outside_memslots_is_efault_and_kept(abi: Abi) -> Outcome {
    let machine = Machine::new(abi)?;
    Area::detach(&machine.vm)?;
    let gfn = Area::gfn(SPARE_PAGE);
    let result = machine.vm.set_shared_info(gfn);
    check_err("frame without memory", result, Errno::EFAULT)?;
    check_places(&machine, gfn, 0)?;
    check_err("send without memory", machine.vm.send(5, 0), Errno::EFAULT)?;

    machine.area.attach(&machine.vm)?;
    machine.vm.send(5, 0)?;
    let pending = SharedInfo::new(machine.area.page(SPARE_PAGE), abi).pending(5);
    check("port 5 to be pending in memory that came later", pending)
}

/// A frame far beyond any memory.
fn highest_gfn_is_efault() -> Outcome {
    let machine = bare()?;
    let highest = (1 << 52) - 1;
    let result = machine.vm.set_shared_info(highest);
    check_err("highest frame", result, Errno::EFAULT)?;
    let result = machine.vm.set_shared_info(NO_MEMORY_GFN);
    check_err("frame without memory", result, Errno::EFAULT)
}

/// An address where nothing is mapped.
fn unmapped_hva_is_efault_and_kept() -> Outcome {
    let machine = bare()?;
    let hva = machine.area.hva(SPARE_PAGE, 0);
    machine.area.forbid(SPARE_PAGE)?;
    let result = machine.vm.set_shared_info_hva(hva);
    check_err("forbidden page", result, Errno::EFAULT)?;
    check_places(&machine, INVALID_GFN, hva)?;
    check_err("send", machine.vm.send(5, 0), Errno::EFAULT)?;
    machine.area.permit(SPARE_PAGE)?;
    machine.vm.send(5, 0)?;
    Ok(())
}

/// KVM writes shared_info, so read-only memory won't do.
fn read_only_memslot_is_efault() -> Outcome {
    let machine = bare()?;
    Area::detach(&machine.vm)?;
    machine.area.attach_readonly(&machine.vm)?;
    let before = machine.image();
    let result = machine.vm.set_shared_info(Area::gfn(SPARE_PAGE));
    check_err("frame of a read-only slot", result, Errno::EFAULT)?;
    before.check(&machine.area)
}

/// An address need not be the guest's memory.
fn hva_needs_no_memslot(abi: Abi) -> Outcome {
    let machine = Machine::new(abi)?;
    let own = Area::unattached()?;
    machine.vm.set_shared_info_hva(own.hva(SPARE_PAGE, 0))?;
    let page = SharedInfo::new(own.page(SPARE_PAGE), abi);
    page.fill_bitmaps(0, 0);
    let guest = {
        let mut image = machine.image();
        image.vcpu_info(0).raise(5);
        image
    };
    machine.vm.send(5, 0)?;
    check("port 5 to be pending in the VMM's page", page.pending(5))?;
    guest.check(&machine.area)
}

/// After a move, events go to the new page and the old one rests.
fn events_follow_a_move(abi: Abi) -> Outcome {
    let machine = Machine::new(abi)?;
    let new = SharedInfo::new(machine.area.page(SPARE_PAGE), abi);
    new.fill_bitmaps(0, 0);
    machine.vm.set_shared_info(Area::gfn(SPARE_PAGE))?;
    let mut expected = Image::of(&machine.area, abi, SPARE_PAGE, vec![machine.place(0)]);
    expected.deliver(0, 9);
    machine.vm.send(9, 0)?;
    expected.check(&machine.area)
}

/// The default place of a vcpu_info is inside of shared_info itself.
fn vcpu_info_may_lie_in_shared_info(abi: Abi) -> Outcome {
    let machine = Machine::builder(abi)
        .vcpus(&[0, 1])
        .vcpu_info_at(&[
            Place {
                page: SHARED_INFO_PAGE,
                offset: 0,
            },
            Place {
                page: SHARED_INFO_PAGE,
                offset: 31 * 64,
            },
        ])
        .build()?;
    let mut expected = machine.image();
    expected.deliver(0, 33);
    expected.deliver(1, 700);
    machine.vm.send(33, 0)?;
    machine.vm.send(700, 1)?;
    expected.check(&machine.area)
}

topic! { "shared_info";
    once gfn_reads_back,
    once hva_reads_back,
    once gfn_and_hva_replace_each_other,
    once invalid_gfn_and_zero_hva_disable,
    each_abi disabled_page_is_left_alone,
    once unaligned_hva_is_einval,
    once kernel_hva_is_einval,
    each_abi gfn_outside_memslots_is_efault_and_kept,
    once highest_gfn_is_efault,
    once unmapped_hva_is_efault_and_kept,
    once read_only_memslot_is_efault,
    each_abi hva_needs_no_memslot,
    each_abi events_follow_a_move,
    each_abi vcpu_info_may_lie_in_shared_info,
}
