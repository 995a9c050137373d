// SPDX-License-Identifier: GPL-2.0
//! Guest code that makes hypercalls and notes what each takes.

use std::arch::global_asm;
use std::ptr::{addr_of, slice_from_raw_parts};

use kvm_bindings::kvm_regs;

use harness::abi::PAGE_SIZE;
use harness::check::check_eq;
use harness::guest_code::{HYPERCALL_PAGE, HYPERCALL_STUB, PORT_DONE};
use harness::guest_cpu::{stack_top, DATA};
use harness::machine::Machine;
use harness::outcome::Outcome;
use harness::vcpu::Exit;

use crate::sample::Samples;

/// Where the code is in the guest's RAM, behind the page for arguments.
const CODE: u64 = DATA + PAGE_SIZE as u64;
/// Where it notes what the hypercalls take.
const TICKS: u64 = CODE + PAGE_SIZE as u64;
/// What clears nothing that matters.
const SCRATCH: u64 = TICKS + PAGE_SIZE as u64;
/// Where the code is that writes an MSR.
const WRMSR: u64 = SCRATCH + 0x100;
const WRMSR_CODE: [u8; 13] = [
    0x51, // push rcx
    0x89, 0xf9, // mov ecx, edi
    0x89, 0xf0, // mov eax, esi
    0x31, 0xd2, // xor edx, edx
    0x0f, 0x30, // wrmsr
    0x31, 0xc0, // xor eax, eax
    0x59, // pop rcx
    0xc3, // ret
];

// rbx: how many; rbp: where to note; r8: a word to clear before each, r9: two words; r10: the
// code to call; rsi, r12, r13, r14: its arguments and the last result.
global_asm!(
    ".pushsection .rodata.kvm_xen_bench_guest, \"a\"",
    "kvm_xen_bench_guest_start:",
    "2:",
    "mov qword ptr [r8], 0",
    "mov qword ptr [r9], 0",
    "mov qword ptr [r9 + 8], 0",
    "mov rdi, r12",
    "mov rsi, r13",
    "mov rdx, r14",
    "mov r11, rdx",
    "lfence",
    "rdtsc",
    "lfence",
    "mov ecx, eax",
    "mov rdx, r11",
    "call r10",
    "mov r15, rax",
    "lfence",
    "rdtsc",
    "sub eax, ecx",
    "mov [rbp], rax",
    "add rbp, 8",
    "test r15, r15",
    "js 3f",
    "dec rbx",
    "jnz 2b",
    "3:",
    "out {port_done}, al",
    "jmp 3b",
    "kvm_xen_bench_guest_end:",
    ".popsection",
    port_done = const PORT_DONE,
);

extern "C" {
    static kvm_xen_bench_guest_start: u8;
    static kvm_xen_bench_guest_end: u8;
}

fn code() -> &'static [u8] {
    let (start, end) = (
        addr_of!(kvm_xen_bench_guest_start),
        addr_of!(kvm_xen_bench_guest_end),
    );
    // SAFETY: all bytes from the one to the other are the code's, in a read-only section.
    unsafe { &*slice_from_raw_parts(start, end.addr() - start.addr()) }
}

/// What a guest calls, and what is cleared in guest memory before each call.
pub struct Call {
    /// Where the code is: in the hypercall page, or at [`WRMSR`].
    code: u64,
    /// Its arguments.
    pub params: [u64; 3],
    /// Guest address of a word to clear.
    pub word: Option<u64>,
    /// Guest address of two words to clear.
    pub two_words: Option<u64>,
}

impl Call {
    /// A hypercall, after which there is nothing to clear.
    pub fn hypercall(number: u64, params: [u64; 3]) -> Self {
        Self {
            code: HYPERCALL_PAGE + number * HYPERCALL_STUB as u64,
            params,
            word: None,
            two_words: None,
        }
    }

    /// Writes the lower half of an MSR.
    pub fn wrmsr(msr: u32, value: u32) -> Self {
        Self {
            code: WRMSR,
            ..Self::hypercall(0, [msr.into(), value.into(), 0])
        }
    }
}

/// Has vCPU 0, with its hypercall page set up, make a call `count` times.
pub fn measure(machine: &mut Machine, count: usize, call: &Call) -> Outcome<Samples> {
    assert!(count * 8 <= PAGE_SIZE);
    machine.ram.write(CODE, code())?;
    machine.ram.write(WRMSR, &WRMSR_CODE)?;
    let [r12, r13, r14] = call.params;
    let vcpu = &mut machine.vcpus[0];
    vcpu.fd.set_regs(&kvm_regs {
        rip: CODE,
        rsp: stack_top(vcpu.id),
        rflags: 2,
        rbx: count as u64,
        rbp: TICKS,
        r8: call.word.unwrap_or(SCRATCH),
        r9: call.two_words.unwrap_or(SCRATCH),
        r10: call.code,
        r12,
        r13,
        r14,
        ..Default::default()
    })?;
    check_eq("exit", vcpu.run()?, Exit::Done)?;
    check_eq("hypercalls that failed", vcpu.fd.get_regs()?.rbx, 0)?;
    let mut samples = Samples::default();
    let bytes = machine.ram.read(TICKS, count * 8)?;
    let words = bytes.chunks_exact(8).map(|word| {
        let word: [u8; 8] = word.try_into().expect("eight bytes");
        u64::from_le_bytes(word)
    });
    samples.add(words);
    Ok(samples)
}
