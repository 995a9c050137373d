// SPDX-License-Identifier: GPL-2.0
//! The hypercall page: a guest that writes the MSR gets it, made by KVM or
//! copied from the VMM's blob.

use kvm_bindings::*;
use nix::errno::Errno;
use vm_memory::{Bytes, MmapRegion, VolatileMemory};

use crate::topic;
use harness::abi::{Abi, PAGE_SIZE};
use harness::check::{check, check_eq, check_err};
use harness::guest_code::{HYPERCALL_PAGE, HYPERCALL_STUB};
use harness::host_cpu::hypercall_instruction;
use harness::machine::Machine;
use harness::memory::NO_MEMORY_GPA;
use harness::outcome::{fail, Outcome};
use harness::vcpu::Exit;
use harness::vm::HYPERCALL_MSR;

/// Pages of each blob, for 32 and for 64 bits.
const BLOB_PAGES: [usize; 2] = [2, 3];

fn hypercall_page(machine: &Machine) -> Outcome<Vec<u8>> {
    machine.ram.read(HYPERCALL_PAGE, PAGE_SIZE)
}

/// For each hypercall: its number to eax, the CPU's own instruction, return; and int3 behind that.
fn intercepted_page_has_code_for_each_hypercall(abi: Abi) -> Outcome {
    let mut machine = Machine::booted_with_msr_exits(abi)?;
    let exit = machine.vcpus[0].wrmsr(HYPERCALL_MSR, HYPERCALL_PAGE)?;
    check_eq("write of the MSR", exit, Exit::Done)?;
    let page = hypercall_page(&machine)?;
    let (_, instruction) = hypercall_instruction();
    for (number, code) in page.chunks(HYPERCALL_STUB).enumerate() {
        let mut expected = vec![0xb8];
        expected.extend_from_slice(&(number as u32).to_le_bytes());
        expected.extend_from_slice(&instruction);
        expected.push(0xc3);
        expected.resize(HYPERCALL_STUB, 0xcc);
        check_eq(format!("hypercall {number}"), code, &expected)?;
    }
    Ok(())
}

/// There is one page only, and it must be the guest's memory.
fn intercepted_page_elsewhere_is_refused(abi: Abi) -> Outcome {
    let mut machine = Machine::booted_with_msr_exits(abi)?;
    let before = hypercall_page(&machine)?;
    for value in [HYPERCALL_PAGE | 1, HYPERCALL_PAGE | 0xfff, NO_MEMORY_GPA] {
        let exit = machine.vcpus[0].wrmsr(HYPERCALL_MSR, value)?;
        let refused = Exit::Wrmsr(HYPERCALL_MSR, value, KVM_MSR_EXIT_REASON_INVAL);
        check_eq(format!("MSR value {value:#x}"), exit, refused)?;
    }
    check_eq("page", hypercall_page(&machine)?, before)
}

/// Blobs for both word sizes, with different bytes in each page.
fn blobs() -> Outcome<(MmapRegion, kvm_xen_hvm_config)> {
    let [small, large] = BLOB_PAGES;
    let memory = MmapRegion::new((small + large) * PAGE_SIZE)?;
    for page in 0..small + large {
        let bytes = [0x10 + page as u8; PAGE_SIZE];
        memory
            .as_volatile_slice()
            .write_slice(&bytes, page * PAGE_SIZE)?;
    }
    let address = memory.as_ptr() as u64;
    let config = kvm_xen_hvm_config {
        flags: 0,
        msr: HYPERCALL_MSR,
        blob_addr_32: address,
        blob_addr_64: address + (small * PAGE_SIZE) as u64,
        blob_size_32: small as u8,
        blob_size_64: large as u8,
        ..Default::default()
    };
    Ok((memory, config))
}

/// The VMM's pages are copied as they are, by number.
fn blob_pages_are_copied(abi: Abi) -> Outcome {
    let (_memory, config) = blobs()?;
    let mut machine = Machine::booted_with_msr_exits(abi)?;
    machine.vm.xen_config(&config)?;
    let [small, large] = BLOB_PAGES;
    let (first, pages) = match abi {
        Abi::Bits32 => (0, small),
        Abi::Bits64 => (small, large),
    };
    for page in 0..pages {
        let exit = machine.vcpus[0].wrmsr(HYPERCALL_MSR, HYPERCALL_PAGE | page as u64)?;
        check_eq("write of the MSR", exit, Exit::Done)?;
        let expected = vec![0x10 + (first + page) as u8; PAGE_SIZE];
        let got = hypercall_page(&machine)?;
        check(format!("page {page} of the blob"), got == expected)?;
    }
    let value = HYPERCALL_PAGE | pages as u64;
    let exit = machine.vcpus[0].wrmsr(HYPERCALL_MSR, value)?;
    let refused = Exit::Wrmsr(HYPERCALL_MSR, value, KVM_MSR_EXIT_REASON_INVAL);
    check_eq("page past the blob", exit, refused)
}

/// A blob that the VMM does not have is the VMM's mistake, not the guest's.
fn unreadable_blob_is_efault_of_kvm_run(abi: Abi) -> Outcome {
    let mut machine = Machine::new(abi)?;
    machine.boot(0)?;
    machine.vm.xen_config(&kvm_xen_hvm_config {
        flags: 0,
        msr: HYPERCALL_MSR,
        blob_addr_32: PAGE_SIZE as u64,
        blob_addr_64: PAGE_SIZE as u64,
        blob_size_32: 1,
        blob_size_64: 1,
        ..Default::default()
    })?;
    let result = machine.vcpus[0].wrmsr(HYPERCALL_MSR, HYPERCALL_PAGE);
    check_err("KVM_RUN", result, Errno::EFAULT)
}

/// The VMM restores MSRs; that must not write to the guest's memory.
fn msr_written_by_the_vmm_writes_no_page() -> Outcome {
    let machine = Machine::booted_with_msr_exits(Abi::Bits64)?;
    let before = hypercall_page(&machine)?;
    let msrs = Msrs::from_entries(&[kvm_msr_entry {
        index: HYPERCALL_MSR,
        data: HYPERCALL_PAGE,
        ..Default::default()
    }])
    .map_err(|error| fail(format!("{error:?}")))?;
    // Whether KVM takes the MSR or not is all one.
    let _ = machine.vcpus[0].fd.set_msrs(&msrs);
    check_eq("page", hypercall_page(&machine)?, before)
}

/// The guest that asks for the page shows its word size by it.
fn writing_the_msr_sets_long_mode(abi: Abi) -> Outcome {
    let mut machine = Machine::booted_with_msr_exits(abi)?;
    machine.vm.set_long_mode(abi.other().long_mode())?;
    let before = machine.shared_info().wall_clock();
    let exit = machine.vcpus[0].wrmsr(HYPERCALL_MSR, HYPERCALL_PAGE)?;
    check_eq("write of the MSR", exit, Exit::Done)?;
    check_eq("LONG_MODE", machine.vm.long_mode(), Ok(abi.long_mode()))?;
    let after = machine.shared_info().wall_clock();
    check_eq("wall clock version", after.version, before.version + 2)
}

topic! { "hypercall_page";
    each_abi intercepted_page_has_code_for_each_hypercall,
    each_abi intercepted_page_elsewhere_is_refused,
    each_abi blob_pages_are_copied,
    each_abi unreadable_blob_is_efault_of_kvm_run,
    once msr_written_by_the_vmm_writes_no_page,
    each_abi writing_the_msr_sets_long_mode,
}
