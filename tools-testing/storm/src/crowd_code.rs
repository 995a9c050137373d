// SPDX-License-Identifier: GPL-2.0
//! The guest of a crowd: each vCPU takes what comes to its ports, sends an IPI for each event that
//! the VMM sent by ioctl, and waits in its own way.

use std::arch::global_asm;
use std::mem::offset_of;
use std::ptr::{addr_of, slice_from_raw_parts};

use harness::abi::hypercall::{EVENT_CHANNEL_OP, EVTCHNOP_SEND};
use harness::abi::sched::{SCHEDOP_POLL, SCHED_OP};
use harness::guest_code::PORT_DONE;

use crate::crowd::{Block, IOCTL};
use crate::guest_code::stub;

/// Ways to wait.
pub const HALT: u32 = 0;
pub const POLL: u32 = 1;
pub const RUN: u32 = 2;

// rbx is the vCPU's block, always. Interrupts are on only where the guest waits. The ports of a vCPU
// are 16 bits of evtchn_pending, which it takes as a whole.
global_asm!(
    ".pushsection .rodata.kvm_xen_crowd, \"a\"",
    ".code64",
    ".balign 16",
    ".globl kvm_xen_crowd_start",
    "kvm_xen_crowd_start:",
    "mov rsi, [rbx + {vcpu_info}]",
    "mov byte ptr [rsi], 0", // evtchn_upcall_pending, before all else
    "xor eax, eax",
    "xchg [rsi + 8], rax", // evtchn_pending_sel
    "mov rdi, [rbx + {pending}]",
    "xor edx, edx",
    "xchg [rdi], dx",
    "mov ebp, edx",
    "2:",
    "bsf ecx, edx",
    "jz 3f",
    "btr edx, ecx",
    "inc dword ptr [rbx + rcx * 4 + {taken}]",
    "jmp 2b",
    "3:",
    "cmp dword ptr [rbx + {stop}], 0",
    "jne 9f",
    "bt ebp, {ioctl}",
    "jnc 4f",
    "cmp dword ptr [rbx + {next}], 0",
    "je 4f",
    "mov edi, {evtchnop_send}",
    "lea rsi, [rbx + {next}]",
    "mov eax, {event_channel_op}",
    "call rax",
    "test rax, rax",
    "jnz 9f",
    "4:",
    "cmp dword ptr [rbx + {wait}], {poll}",
    "je 6f",
    "ja 5f",
    "sti",
    "hlt",
    "cli",
    "jmp kvm_xen_crowd_start",
    "5:",
    "sti",
    "nop",
    "nop",
    "cli",
    "jmp kvm_xen_crowd_start",
    "6:",
    "mov edi, {schedop_poll}",
    "lea rsi, [rbx + {sched_poll}]",
    "mov eax, {sched_op}",
    "call rax",
    "test rax, rax",
    "jz kvm_xen_crowd_start",
    "9:",
    "out {port_done}, al",
    "jmp 9b",
    // The handler of upcalls: what there is to take is taken above.
    ".globl kvm_xen_crowd_upcall",
    "kvm_xen_crowd_upcall:",
    "push rax",
    "mov rax, [rbx + {vcpu_info}]",
    "mov byte ptr [rax], 0",
    "cmp dword ptr [rbx + {eoi}], 0",
    "je 3f",
    "mov eax, 0xfee000b0",
    "mov dword ptr [rax], 0",
    "3:",
    "pop rax",
    "iretq",
    ".globl kvm_xen_crowd_end",
    "kvm_xen_crowd_end:",
    ".popsection",
    vcpu_info = const offset_of!(Block, vcpu_info),
    pending = const offset_of!(Block, pending),
    taken = const offset_of!(Block, taken),
    stop = const offset_of!(Block, stop),
    next = const offset_of!(Block, next),
    wait = const offset_of!(Block, wait),
    sched_poll = const offset_of!(Block, sched_poll),
    eoi = const offset_of!(Block, eoi),
    ioctl = const IOCTL,
    poll = const POLL,
    evtchnop_send = const EVTCHNOP_SEND,
    event_channel_op = const stub(EVENT_CHANNEL_OP),
    schedop_poll = const SCHEDOP_POLL,
    sched_op = const stub(SCHED_OP),
    port_done = const PORT_DONE,
);

extern "C" {
    static kvm_xen_crowd_start: u8;
    static kvm_xen_crowd_upcall: u8;
    static kvm_xen_crowd_end: u8;
}

/// The program, which begins where a vCPU does.
pub fn program() -> &'static [u8] {
    let start = addr_of!(kvm_xen_crowd_start);
    let length = addr_of!(kvm_xen_crowd_end) as usize - start as usize;
    // SAFETY: these are the bytes between the two labels above, in a section that is only read.
    unsafe { &*slice_from_raw_parts(start, length) }
}

/// Offset of the handler of upcalls in [`program`].
pub fn upcall_offset() -> u64 {
    (addr_of!(kvm_xen_crowd_upcall) as usize - addr_of!(kvm_xen_crowd_start) as usize) as u64
}
