// SPDX-License-Identifier: GPL-2.0
//! State in which guest code starts: 64-bit mode with the first 4 GiB mapped to
//! themselves, or 32-bit protected mode without paging.

use kvm_bindings::{
    kvm_mp_state, kvm_segment, kvm_sregs, KVM_MAX_CPUID_ENTRIES, KVM_MP_STATE_RUNNABLE,
};

use super::guest_code::{entry_offset, program, Entry, HANDLER_SIZE};
use super::memory::Ram;
use super::outcome::Outcome;
use super::vcpu::Vcpu;
use super::vm::Vm;
use crate::abi::Abi;

// Guest addresses, all in the RAM at 0.
const PML4: u64 = 0x1000;
const PDPT: u64 = 0x2000;
const PAGE_DIRECTORIES: u64 = 0x3000; // four
const GDT: u64 = 0x7000;
const IDT64: u64 = 0x8000;
const IDT32: u64 = 0x9000;
const CODE64: u64 = 0x1_0000;
const CODE32: u64 = 0x1_4000;
// guest_code::HYPERCALL_PAGE is at 0x2_0000.
const STACKS: u64 = 0x3_0000;
const STACK_SIZE: u64 = 0x100;

/// A page for the arguments of hypercalls.
pub const DATA: u64 = 0x2_1000;

// Selectors. Rings 0 and 3 have segments of their own.
const CODE64_SELECTOR: u16 = 0x08;
const CODE32_SELECTOR: u16 = 0x10;
const DATA_SELECTOR: u16 = 0x18;

// Bits of page table entries, control registers and EFER.
const PRESENT_WRITABLE_USER: u64 = 0x7;
const LARGE_PAGE: u64 = 0x80;
const CR0_PE_ET: u64 = 0x11;
const CR0_PG: u64 = 1 << 31;
const CR4_PAE: u64 = 0x20;
const EFER_LME_LMA: u64 = 0x500;

/// Where code of this word size is.
fn code_base(abi: Abi) -> u64 {
    match abi {
        Abi::Bits32 => CODE32,
        Abi::Bits64 => CODE64,
    }
}

/// Guest address of an entry.
pub fn entry_address(abi: Abi, entry: Entry) -> u64 {
    code_base(abi) + entry_offset(abi, entry)
}

/// Initial stack pointer of a vCPU.
pub fn stack_top(vcpu: u32) -> u64 {
    assert!(vcpu < 255);
    STACKS + u64::from(vcpu + 1) * STACK_SIZE
}

/// Writes code and tables for both word sizes.
pub fn fill(ram: &Ram) -> Outcome {
    ram.write(PML4, &(PDPT | PRESENT_WRITABLE_USER).to_le_bytes())?;
    for gigabyte in 0..4 {
        let directory = PAGE_DIRECTORIES + gigabyte * 0x1000;
        let entry = directory | PRESENT_WRITABLE_USER;
        ram.write(PDPT + gigabyte * 8, &entry.to_le_bytes())?;
        let pages = (0..512).flat_map(|page| {
            let target = (gigabyte << 30) + (page << 21);
            (target | PRESENT_WRITABLE_USER | LARGE_PAGE).to_le_bytes()
        });
        ram.write(directory, &pages.collect::<Vec<_>>())?;
    }

    for (selector, descriptor) in [
        (CODE64_SELECTOR, 0x00af_9b00_0000_ffff_u64),
        (CODE32_SELECTOR, 0x00cf_9b00_0000_ffff),
        (DATA_SELECTOR, 0x00cf_9300_0000_ffff),
    ] {
        ram.write(GDT + u64::from(selector), &descriptor.to_le_bytes())?;
    }

    for abi in Abi::ALL {
        ram.write(code_base(abi), program(abi))?;
        for vector in 0..256 {
            let handler = code_base(abi) + vector * HANDLER_SIZE;
            match abi {
                Abi::Bits32 => ram.write(
                    IDT32 + vector * 8,
                    &gate(handler, CODE32_SELECTOR).to_le_bytes(),
                )?,
                // The upper half of a 64-bit gate stays 0.
                Abi::Bits64 => ram.write(
                    IDT64 + vector * 16,
                    &gate(handler, CODE64_SELECTOR).to_le_bytes(),
                )?,
            }
        }
    }
    Ok(())
}

/// An interrupt gate to a handler below 4 GiB.
fn gate(handler: u64, selector: u16) -> u64 {
    const PRESENT_INTERRUPT_GATE: u64 = 0x8e00 << 32;
    (handler & 0xffff)
        | (u64::from(selector) << 16)
        | PRESENT_INTERRUPT_GATE
        | (((handler >> 16) & 0xffff) << 48)
}

/// Loads everything but the general registers, and makes the vCPU runnable.
pub fn load(vm: &Vm, vcpu: &Vcpu, abi: Abi) -> Outcome {
    let cpuid = vm.kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)?;
    vcpu.fd.set_cpuid2(&cpuid)?;
    let mut sregs = vcpu.fd.get_sregs()?;
    system_registers(&mut sregs, abi);
    vcpu.fd.set_sregs(&sregs)?;
    // All but the first wait for the guest to start them.
    vcpu.fd.set_mp_state(kvm_mp_state {
        mp_state: KVM_MP_STATE_RUNNABLE,
    })?;
    Ok(())
}

/// Has `sregs` be those of the kernel of a guest of this word size.
pub fn system_registers(sregs: &mut kvm_sregs, abi: Abi) {
    let data = kvm_segment {
        limit: u32::MAX,
        selector: DATA_SELECTOR,
        type_: 3, // data, read and write, accessed
        present: 1,
        s: 1,
        g: 1,
        db: 1,
        ..Default::default()
    };
    let code = kvm_segment {
        type_: 11, // code, execute and read, accessed
        ..data
    };
    (sregs.ds, sregs.es, sregs.fs, sregs.gs, sregs.ss) = (data, data, data, data, data);
    sregs.gdt.base = GDT;
    sregs.gdt.limit = 0x1f;
    match abi {
        Abi::Bits32 => {
            sregs.cs = kvm_segment {
                selector: CODE32_SELECTOR,
                ..code
            };
            sregs.cr0 = CR0_PE_ET;
            sregs.idt.base = IDT32;
            sregs.idt.limit = 256 * 8 - 1;
        }
        Abi::Bits64 => {
            sregs.cs = kvm_segment {
                selector: CODE64_SELECTOR,
                l: 1,
                db: 0,
                ..code
            };
            sregs.cr0 = CR0_PE_ET | CR0_PG;
            sregs.cr3 = PML4;
            sregs.cr4 = CR4_PAE;
            sregs.efer = EFER_LME_LMA;
            sregs.idt.base = IDT64;
            sregs.idt.limit = 256 * 16 - 1;
        }
    }
}

/// Has a vCPU that was loaded for 32-bit code run it in long mode.
pub fn enter_compatibility_mode(vcpu: &Vcpu) -> Outcome {
    let mut sregs = vcpu.fd.get_sregs()?;
    sregs.cr0 = CR0_PE_ET | CR0_PG;
    sregs.cr3 = PML4;
    sregs.cr4 = CR4_PAE;
    sregs.efer = EFER_LME_LMA;
    sregs.idt.base = IDT64;
    sregs.idt.limit = 256 * 16 - 1;
    vcpu.fd.set_sregs(&sregs)?;
    Ok(())
}

/// Changes those of a 64-bit kernel to run 32-bit code.
pub fn compat_registers(sregs: &mut kvm_sregs) {
    sregs.cs.selector = CODE32_SELECTOR;
    (sregs.cs.l, sregs.cs.db) = (0, 1);
}

/// Changes them to run in ring 3.
pub fn ring3_registers(sregs: &mut kvm_sregs) {
    for segment in [&mut sregs.cs, &mut sregs.ss, &mut sregs.ds, &mut sregs.es] {
        segment.dpl = 3;
        segment.selector |= 3;
    }
}

/// Has the vCPU run in ring 3.
pub fn enter_ring3(vcpu: &Vcpu) -> Outcome {
    let mut sregs = vcpu.fd.get_sregs()?;
    ring3_registers(&mut sregs);
    vcpu.fd.set_sregs(&sregs)?;
    Ok(())
}
