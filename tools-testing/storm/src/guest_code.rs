// SPDX-License-Identifier: GPL-2.0
//! The guest: takes events as an operating system does, notes what it took, and
//! sends events of its own. It runs in 64-bit mode, with memory mapped to itself.

use std::arch::global_asm;
use std::mem::{offset_of, size_of};
use std::ptr::{addr_of, slice_from_raw_parts};

use harness::guest_code::{HYPERCALL_PAGE, HYPERCALL_STUB, PORT_DONE};

use crate::block::{self, Block, Send};

/// The vector of upcalls.
pub const VECTOR: u8 = 0x51;

// rbx is the vCPU's block, always. Interrupts are on only where the guest waits,
// so the handler has nothing to save but what it uses itself.
global_asm!(
    ".pushsection .rodata.kvm_xen_storm, \"a\"",
    ".code64",
    ".balign 16",
    ".globl kvm_xen_storm_start",
    "kvm_xen_storm_start:",
    // A turn: take what is there, set the timer, send, wait. It counts when events
    // were taken: whoever sends one after a look at the count sees it grow.
    "call kvm_xen_storm_take",
    "inc qword ptr [rbx + {turns}]",
    "cmp dword ptr [rbx + {stop}], 0",
    "jne kvm_xen_storm_done",
    // Now and then the VMM has something to do, as for a device.
    "test dword ptr [rbx + {turns}], {exit_every}",
    "jnz 3f",
    "out {port_done}, al",
    "3:",
    // The timer, when its last event was seen, or even before.
    "mov ecx, [rbx + {timer_port}]",
    "test ecx, ecx",
    "jz 5f",
    "shl ecx, 4",
    "mov rdx, [rbx + {taken}]",
    "mov rax, [rbx + {timer_last}]",
    "cmp rax, [rdx + rcx]",
    "jbe 3f",
    "test dword ptr [rbx + {flags}], {rearm}",
    "jz 5f",
    "3:",
    "mov ecx, [rbx + {timer_port}]",
    "call kvm_xen_storm_ticket",
    "call kvm_xen_storm_now",
    "add rax, [rbx + {timer_delta}]",
    "mov [rbx + {timer_argument}], rax",
    "mov edi, 8", // VCPUOP_set_singleshot_timer
    "mov rsi, [rbx + {xen_id}]",
    "lea rdx, [rbx + {timer_argument}]",
    "mov eax, {vcpu_op}",
    "call rax",
    "test rax, rax",
    "jnz 4f",
    "mov [rbx + {timer_last}], r13",
    "inc qword ptr [rbx + {timer_ok}]",
    "jmp 5f",
    "4:",
    "inc qword ptr [rbx + {timer_refused}]",
    // Sends.
    "5:",
    "lea r14, [rbx + {sends}]",
    "mov r15d, [rbx + {send_count}]",
    "6:",
    "test r15d, r15d",
    "jz kvm_xen_storm_wait",
    "dec r15d",
    "mov ecx, [r14 + {send_trigger}]",
    "test ecx, ecx",
    "jz 7f",
    "shl ecx, 4",
    "mov rdx, [rbx + {taken}]",
    "mov rax, [rdx + rcx + 8]",
    "cmp rax, [r14 + {send_answered}]",
    "je 9f",
    "mov [r14 + {send_answered}], rax",
    "7:",
    "mov ecx, [r14 + {send_to}]",
    "call kvm_xen_storm_ticket",
    "mov edi, 4", // EVTCHNOP_send
    "mov rsi, r14",
    "mov eax, {event_channel_op}",
    "call rax",
    "test rax, rax",
    "jnz 8f",
    "mov [r14 + {send_last}], r13",
    "inc qword ptr [r14 + {send_ok}]",
    "jmp 9f",
    "8:",
    "inc qword ptr [r14 + {send_refused}]",
    "9:",
    "add r14, {send_size}",
    "jmp 6b",
    // Wait for something to happen.
    "kvm_xen_storm_wait:",
    "test dword ptr [rbx + {flags}], {spin}",
    "jnz 3f",
    "test dword ptr [rbx + {flags}], {poll}",
    "jz 5f",
    "mov eax, [rbx + {turns}]",
    "test eax, [rbx + {poll_every}]",
    "jz 4f",
    "5:",
    "sti",
    "hlt",
    "cli",
    "jmp kvm_xen_storm_start",
    "3:",
    "sti",
    "nop",
    "nop",
    "cli",
    "jmp kvm_xen_storm_start",
    "4:",
    "inc qword ptr [rbx + {polls}]",
    "mov edi, 3", // SCHEDOP_poll
    "lea rsi, [rbx + {poll_argument}]",
    "mov eax, {sched_op}",
    "call rax",
    "test rax, rax",
    "jz kvm_xen_storm_start",
    "inc qword ptr [rbx + {poll_errors}]",
    "jmp kvm_xen_storm_start",
    "kvm_xen_storm_done:",
    "out {port_done}, al",
    "jmp kvm_xen_storm_done",
    // A ticket for the port in ecx, to r13.
    "kvm_xen_storm_ticket:",
    "mov rdi, [rbx + {tickets}]",
    "mov r13d, 1",
    "lock xadd [rdi + rcx * 8], r13",
    "inc r13",
    "ret",
    // The system time, to rax.
    "kvm_xen_storm_now:",
    "mov rsi, [rbx + {vcpu_info}]",
    "3:",
    "mov r8d, [rsi + 32]", // version
    "test r8d, 1",
    "jnz 3b",
    "lfence",
    "rdtsc",
    "shl rdx, 32",
    "or rax, rdx",
    "sub rax, [rsi + 40]", // tsc_timestamp
    "movsx ecx, byte ptr [rsi + 60]", // tsc_shift
    "test ecx, ecx",
    "js 4f",
    "shl rax, cl",
    "jmp 5f",
    "4:",
    "neg ecx",
    "shr rax, cl",
    "5:",
    "mov edx, [rsi + 56]", // tsc_to_system_mul
    "mul rdx",
    "shrd rax, rdx, 32",
    "add rax, [rsi + 48]", // system_time
    "cmp r8d, [rsi + 32]",
    "jne 3b",
    "ret",
    // Takes all events that vcpu_info tells of.
    "kvm_xen_storm_take:",
    "mov rsi, [rbx + {vcpu_info}]",
    "mov byte ptr [rsi], 0", // evtchn_upcall_pending, before all else
    "xor eax, eax",
    "cmp dword ptr [rbx + {scan}], {scan_sel32}",
    "je 3f",
    "xchg [rsi + 8], rax",
    "cmp dword ptr [rbx + {scan}], {scan_own}",
    "jne 4f",
    "xor eax, eax",
    "xchg [rsi + 4], eax",
    "xor eax, eax",
    "jmp 4f",
    "3:",
    "xchg [rsi + 4], eax",
    "4:",
    "or rax, [rbx + {always}]",
    "mov rdi, [rbx + {shared_info}]",
    "5:",
    "bsf rcx, rax",
    "jz 9f",
    "btr rax, rcx",
    "xor edx, edx",
    "cmp dword ptr [rbx + {scan}], {scan_sel32}",
    "je 6f",
    "xchg [rdi + rcx * 8 + 0x800], rdx",
    "shl ecx, 6",
    "jmp 7f",
    "6:",
    "xchg [rdi + rcx * 4 + 0x800], edx",
    "shl ecx, 5",
    "7:",
    "bsf r8, rdx",
    "jz 5b",
    "btr rdx, r8",
    "add r8, rcx",
    "cmp r8, {ports}",
    "jae 7b",
    // Whoever sent this event, and those that it stands for, had a ticket before.
    "mov r9, [rbx + {tickets}]",
    "mov r9, [r9 + r8 * 8]",
    "shl r8, 4",
    "add r8, [rbx + {taken}]",
    "mov [r8], r9",
    "inc qword ptr [r8 + 8]",
    "jmp 7b",
    "9:",
    "ret",
    // The handler of upcalls: what there is to take is taken by the main loop.
    ".globl kvm_xen_storm_upcall",
    "kvm_xen_storm_upcall:",
    "push rax",
    "mov rax, [rbx + {vcpu_info}]",
    "mov byte ptr [rax], 0",
    "test dword ptr [rbx + {flags}], {eoi}",
    "jz 3f",
    "mov eax, 0xfee000b0",
    "mov dword ptr [rax], 0",
    "3:",
    "pop rax",
    "iretq",
    ".globl kvm_xen_storm_end",
    "kvm_xen_storm_end:",
    ".popsection",
    turns = const offset_of!(Block, turns),
    stop = const offset_of!(Block, stop),
    flags = const offset_of!(Block, flags),
    scan = const offset_of!(Block, scan),
    always = const offset_of!(Block, always),
    vcpu_info = const offset_of!(Block, vcpu_info),
    shared_info = const offset_of!(Block, shared_info),
    taken = const offset_of!(Block, taken),
    tickets = const offset_of!(Block, tickets),
    timer_port = const offset_of!(Block, timer_port),
    timer_delta = const offset_of!(Block, timer_delta),
    timer_ok = const offset_of!(Block, timer_ok),
    timer_last = const offset_of!(Block, timer_last),
    timer_refused = const offset_of!(Block, timer_refused),
    timer_argument = const offset_of!(Block, timer_argument),
    xen_id = const offset_of!(Block, xen_id),
    poll_argument = const offset_of!(Block, poll_argument),
    poll_every = const offset_of!(Block, poll_every),
    polls = const offset_of!(Block, polls),
    poll_errors = const offset_of!(Block, poll_errors),
    sends = const offset_of!(Block, sends),
    send_count = const offset_of!(Block, send_count),
    send_size = const size_of::<Send>(),
    send_to = const offset_of!(Send, port),
    send_trigger = const offset_of!(Send, trigger),
    send_answered = const offset_of!(Send, answered),
    send_ok = const offset_of!(Send, ok),
    send_last = const offset_of!(Send, last),
    send_refused = const offset_of!(Send, refused),
    exit_every = const 31,
    spin = const block::SPIN,
    poll = const block::POLL,
    eoi = const block::EOI,
    rearm = const block::REARM,
    scan_sel32 = const block::SCAN_SEL32,
    scan_own = const block::SCAN_OWN,
    ports = const crate::book::PORTS,
    vcpu_op = const stub(harness::abi::sched::VCPU_OP),
    sched_op = const stub(harness::abi::sched::SCHED_OP),
    event_channel_op = const stub(harness::abi::hypercall::EVENT_CHANNEL_OP),
    port_done = const PORT_DONE,
);

/// Where the code of a hypercall is in the hypercall page.
pub const fn stub(number: u64) -> u64 {
    HYPERCALL_PAGE + number * HYPERCALL_STUB as u64
}

extern "C" {
    static kvm_xen_storm_start: u8;
    static kvm_xen_storm_upcall: u8;
    static kvm_xen_storm_end: u8;
}

/// The program, which begins where a vCPU does.
pub fn program() -> &'static [u8] {
    let start = addr_of!(kvm_xen_storm_start);
    let length = addr_of!(kvm_xen_storm_end) as usize - start as usize;
    // SAFETY: these are the bytes between the two labels above, in a section that
    // is only read.
    unsafe { &*slice_from_raw_parts(start, length) }
}

/// Offset of the handler of upcalls in [`program`].
pub fn upcall_offset() -> u64 {
    (addr_of!(kvm_xen_storm_upcall) as usize - addr_of!(kvm_xen_storm_start) as usize) as u64
}
