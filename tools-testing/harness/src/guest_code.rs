// SPDX-License-Identifier: GPL-2.0
//! The code that guests run. It does little: the cases load registers, start
//! one of these entries, and look at the vCPU when it leaves by a port.

use std::arch::global_asm;
use std::ptr::{addr_of, slice_from_raw_parts};

use crate::abi::Abi;

/// I/O port by which an entry tells that it has come to its end.
pub const PORT_DONE: u16 = 0x40;
/// I/O port to which an interrupt or exception handler writes its vector.
pub const PORT_VECTOR: u16 = 0x44;

/// Distance between the handlers of two vectors.
pub const HANDLER_SIZE: u64 = 16;

/// Where the hypercall page is in guest memory.
pub const HYPERCALL_PAGE: u64 = 0x2_0000;
/// Size of a hypercall's code in that page.
pub const HYPERCALL_STUB: usize = 32;

/// Words in the table of offsets behind a program: entries and length.
const OFFSETS: usize = 9;

/// Where a guest's code begins to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Calls the hypercall in eax through the hypercall page.
    Hypercall,
    /// `vmcall`, with the registers as they are.
    Vmcall,
    /// `vmmcall`, with the registers as they are.
    Vmmcall,
    /// Writes edx:eax to the MSR in ecx.
    Wrmsr,
    /// `cpuid`: leaves the guest, but not the kernel.
    Cpuid,
    /// Opens a window for interrupts.
    Window,
    /// Halts until an interrupt comes.
    Halt,
    /// Runs until an interrupt comes, and never leaves the guest by itself.
    Spin,
}

// Both programs are the same but for the word size. A handler pushes its
// vector; the common part tells the vector to the host, which may look around
// and acknowledge the event, then ends the interrupt at the local APIC.
macro_rules! guest_program {
    ($name:literal, $code:literal, $ax:literal, $sp:literal, $word:literal, $iret:literal) => {
        global_asm!(
            ".pushsection .rodata.kvm_xen_guest, \"a\"",
            concat!(".balign 16\n", $code),
            concat!(".globl ", $name, "_start"),
            concat!($name, "_start:"),
            ".set vector, 0",
            ".rept 256",
            ".balign 16",
            "push vector",
            concat!("jmp ", $name, "_handler"),
            ".set vector, vector + 1",
            ".endr",
            ".balign 16",
            concat!($name, "_handler:"),
            concat!("push ", $ax),
            concat!("mov eax, [", $sp, " + ", $word, "]"),
            "out {port_vector}, eax",
            "mov eax, 0xfee000b0",
            concat!("mov dword ptr [", $ax, "], 0"),
            concat!("pop ", $ax),
            concat!("add ", $sp, ", ", $word),
            $iret,
            concat!($name, "_hypercall:"),
            "shl eax, 5",
            "add eax, {hypercall_page}",
            concat!("call ", $ax),
            concat!("jmp ", $name, "_done"),
            concat!($name, "_vmcall:"),
            "vmcall",
            concat!("jmp ", $name, "_done"),
            concat!($name, "_vmmcall:"),
            "vmmcall",
            concat!("jmp ", $name, "_done"),
            concat!($name, "_wrmsr:"),
            "wrmsr",
            concat!("jmp ", $name, "_done"),
            concat!($name, "_cpuid:"),
            "cpuid",
            concat!("jmp ", $name, "_done"),
            concat!($name, "_window:"),
            "sti",
            "nop",
            "nop",
            "cli",
            concat!("jmp ", $name, "_done"),
            concat!($name, "_halt:"),
            "sti",
            "hlt",
            "cli",
            concat!("jmp ", $name, "_done"),
            concat!($name, "_spin:"),
            "sti",
            concat!($name, "_again:"),
            "pause",
            concat!("jmp ", $name, "_again"),
            concat!($name, "_done:"),
            "out {port_done}, al",
            concat!("jmp ", $name, "_done"),
            concat!($name, "_end:"),
            // In the order of Entry, then the length.
            ".balign 4",
            concat!(".globl ", $name, "_offsets"),
            concat!($name, "_offsets:"),
            concat!(".long ", $name, "_hypercall - ", $name, "_start"),
            concat!(".long ", $name, "_vmcall - ", $name, "_start"),
            concat!(".long ", $name, "_vmmcall - ", $name, "_start"),
            concat!(".long ", $name, "_wrmsr - ", $name, "_start"),
            concat!(".long ", $name, "_cpuid - ", $name, "_start"),
            concat!(".long ", $name, "_window - ", $name, "_start"),
            concat!(".long ", $name, "_halt - ", $name, "_start"),
            concat!(".long ", $name, "_spin - ", $name, "_start"),
            concat!(".long ", $name, "_end - ", $name, "_start"),
            ".code64",
            ".popsection",
            port_done = const PORT_DONE,
            port_vector = const PORT_VECTOR,
            hypercall_page = const HYPERCALL_PAGE,
        );
    };
}

guest_program!("kvm_xen_guest32", ".code32", "eax", "esp", "4", "iretd");
guest_program!("kvm_xen_guest64", ".code64", "rax", "rsp", "8", "iretq");

extern "C" {
    static kvm_xen_guest32_start: u8;
    static kvm_xen_guest32_offsets: [u32; OFFSETS];
    static kvm_xen_guest64_start: u8;
    static kvm_xen_guest64_offsets: [u32; OFFSETS];
}

/// The program for guests of this word size; it begins with the handlers.
pub fn program(abi: Abi) -> &'static [u8] {
    let start = match abi {
        Abi::Bits32 => addr_of!(kvm_xen_guest32_start),
        Abi::Bits64 => addr_of!(kvm_xen_guest64_start),
    };
    let length = offsets(abi)[OFFSETS - 1] as usize;
    // SAFETY: the last offset is that of the program's end, so all these bytes
    // are the program's, in a read-only section.
    unsafe { &*slice_from_raw_parts(start, length) }
}

/// Offset of `entry` in [`program`].
pub fn entry_offset(abi: Abi, entry: Entry) -> u64 {
    offsets(abi)[entry as usize].into()
}

fn offsets(abi: Abi) -> &'static [u32; OFFSETS] {
    // SAFETY: the tables above have this many words and are never written.
    unsafe {
        match abi {
            Abi::Bits32 => &kvm_xen_guest32_offsets,
            Abi::Bits64 => &kvm_xen_guest64_offsets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handlers_come_first_and_push_their_vector() {
        for abi in Abi::ALL {
            let code = program(abi);
            assert!(code.len() < 0x2000);
            for vector in 0..256_usize {
                let handler = &code[vector * HANDLER_SIZE as usize..];
                let pushed = match handler[0] {
                    0x6a => handler[1] as i8 as u32,
                    0x68 => u32::from_le_bytes(handler[1..5].try_into().unwrap()),
                    other => panic!("vector {vector} begins with {other:#x}"),
                };
                assert_eq!(pushed, vector as u32);
            }
        }
    }

    #[test]
    fn entries_are_the_instructions_they_name() {
        for abi in Abi::ALL {
            let at = |entry| &program(abi)[entry_offset(abi, entry) as usize..];
            assert_eq!(at(Entry::Vmcall)[..3], [0x0f, 0x01, 0xc1]);
            assert_eq!(at(Entry::Vmmcall)[..3], [0x0f, 0x01, 0xd9]);
            assert_eq!(at(Entry::Wrmsr)[..2], [0x0f, 0x30]);
            assert_eq!(at(Entry::Cpuid)[..2], [0x0f, 0xa2]);
            assert_eq!(at(Entry::Window)[..2], [0xfb, 0x90]);
            assert_eq!(at(Entry::Halt)[..3], [0xfb, 0xf4, 0xfa]);
            assert_eq!(at(Entry::Spin)[..5], [0xfb, 0xf3, 0x90, 0xeb, 0xfc]);
        }
    }
}
