// SPDX-License-Identifier: GPL-2.0
//! The guest: what a kernel on Xen does, in a hundred lines.

use std::arch::global_asm;
use std::ptr::{addr_of, slice_from_raw_parts};

// Where things are in guest memory. The first three are page tables.
pub const PML4: u64 = 0x1000;
pub const PDPT: u64 = 0x2000;
pub const PAGE_DIRECTORY: u64 = 0x3000;
pub const HYPERCALL_PAGE: u64 = 0x4000;
pub const SHARED_INFO: u64 = 0x5000;
/// That of the first vCPU is where `shared_info` begins.
pub const VCPU_INFO: u64 = SHARED_INFO;
/// Arguments of hypercalls.
const DATA: u64 = 0x6000;
pub const STACK_TOP: u64 = 0x8000;
pub const CODE: u64 = 0x1_0000;

/// The MSR that asks for the hypercall page.
pub const HYPERCALL_MSR: u32 = 0x4000_0200;

// The guest's ports, one for each way in which an event comes.
pub const IOCTL_PORT: u32 = 1;
pub const IRQFD_PORT: u32 = 2;
pub const TIMER_PORT: u32 = 3;

/// Nanoseconds from when the timer is set to when it is due, and how much too early is no surprise,
/// as clocks are adjusted.
pub const TIMER_NS: u64 = 20_000_000;
const EARLY_NS: u64 = 1_000_000;

global_asm!(
    r##"
    .pushsection .rodata.hello_xen, "a"

    # A hypercall calls into the hypercall page, which has 32 bytes for each number.
    .macro hypercall number
        mov     $({hypercall_page} + \number * 32), %eax
        call    *%rax                       # result in rax
    .endm

    # HYPERVISOR_console_io. KVM does not know it, so the VMM gets it.
    .macro say text
        jmp     .Lend\@
    .Ltext\@:
        .ascii  "\text"
    .Lend\@:
        xor     %edi, %edi                  # CONSOLEIO_write
        mov     $(.Lend\@ - .Ltext\@), %esi # so many bytes
        lea     .Ltext\@(%rip), %rdx        # from here
        hypercall 18
    .endm

    .globl hello_xen_start
hello_xen_start:
        mov     ${msr}, %ecx
        mov     ${hypercall_page}, %eax
        xor     %edx, %edx
        wrmsr                               # KVM writes the page
        say     "my hypercall page is written"

        say     "I wait for port 1"
        mov     ${ioctl_port}, %edi
        call    hello_xen_wait
        say     "port 1 it is"

        say     "I wait for port 2"
        mov     ${irqfd_port}, %edi
        call    hello_xen_wait
        say     "port 2 it is"

        call    hello_xen_now
        add     ${timer_ns}, %rax
        mov     %rax, {timer}               # struct vcpu_set_singleshot_timer: when,
        movq    $0, {timer} + 8             # and no flags
        mov     $8, %edi                    # VCPUOP_set_singleshot_timer
        xor     %esi, %esi                  # of vCPU 0
        mov     ${timer}, %edx
        hypercall 24                        # HYPERVISOR_vcpu_op
        test    %rax, %rax
        jnz     hello_xen_refused
        say     "my timer is set, I wait for port 3"
        mov     ${timer_port}, %edi
        call    hello_xen_wait
        call    hello_xen_now
        add     ${early_ns}, %rax
        cmp     {timer}, %rax
        jb      hello_xen_early
        say     "port 3 it is, and it is time"

hello_xen_shutdown:
        movl    $0, {data}                  # struct sched_shutdown: SHUTDOWN_poweroff
        mov     $2, %edi                    # SCHEDOP_shutdown
        mov     ${data}, %esi
        hypercall 29                        # HYPERVISOR_sched_op; this one the VMM gets
        ud2

    # Sleeps until there is an event of the port in edi, 5 seconds at most, and takes it.
hello_xen_wait:
        mov     %edi, {data}
        movq    ${data}, {poll}             # struct sched_poll: where the ports are,
        movl    $1, {poll} + 8              # how many,
        movabs  $5000000000, %rax
        mov     %rax, {poll} + 16           # and how long at most
        mov     $3, %edi                    # SCHEDOP_poll
        mov     ${poll}, %esi
        hypercall 29                        # HYPERVISOR_sched_op
        test    %rax, %rax
        jnz     hello_xen_refused
        movb    $0, {vcpu_info}             # evtchn_upcall_pending: I know
        movq    $0, {vcpu_info} + 8         # evtchn_pending_sel: of all words
        mov     {data}, %eax
        lock btrl %eax, {shared_info} + 0x800 # evtchn_pending, the bit of this port
        jnc     hello_xen_nothing
        ret

hello_xen_refused:
        say     "a hypercall is refused"
        jmp     hello_xen_shutdown
hello_xen_nothing:
        say     "nothing comes"
        jmp     hello_xen_shutdown
hello_xen_early:
        say     "port 3 it is, and it is early"
        jmp     hello_xen_shutdown

    # The guest's clock, to rax: struct pvclock_vcpu_time_info is at 32 in vcpu_info.
hello_xen_now:
        mov     {vcpu_info} + 32, %r8d      # version, odd while KVM writes
        test    $1, %r8d
        jnz     hello_xen_now
        lfence
        rdtsc
        shl     $32, %rdx
        or      %rdx, %rax
        sub     {vcpu_info} + 40, %rax      # tsc_timestamp
        movsbl  {vcpu_info} + 60, %ecx      # tsc_shift, to the left if positive
        test    %ecx, %ecx
        js      1f
        shl     %cl, %rax
        jmp     2f
    1:  neg     %ecx
        shr     %cl, %rax
    2:  mov     {vcpu_info} + 56, %edx      # tsc_to_system_mul
        mul     %rdx
        shrd    $32, %rdx, %rax
        add     {vcpu_info} + 48, %rax      # system_time
        cmp     {vcpu_info} + 32, %r8d
        jne     hello_xen_now
        ret

    .globl hello_xen_end
hello_xen_end:
    .purgem hypercall
    .purgem say
    .popsection
    "##,
    hypercall_page = const HYPERCALL_PAGE,
    msr = const HYPERCALL_MSR,
    ioctl_port = const IOCTL_PORT,
    irqfd_port = const IRQFD_PORT,
    timer_port = const TIMER_PORT,
    timer_ns = const TIMER_NS,
    early_ns = const EARLY_NS,
    shared_info = const SHARED_INFO,
    vcpu_info = const VCPU_INFO,
    data = const DATA,
    poll = const DATA + 0x10,
    timer = const DATA + 0x40,
    options(att_syntax)
);

extern "C" {
    static hello_xen_start: u8;
    static hello_xen_end: u8;
}

/// The guest's code. It runs wherever it is put.
pub fn code() -> &'static [u8] {
    let (start, end) = (addr_of!(hello_xen_start), addr_of!(hello_xen_end));
    // SAFETY: all bytes between the two are the guest's, in a read-only section.
    unsafe { &*slice_from_raw_parts(start, end as usize - start as usize) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_begins_with_the_msr() {
        let mut begin = vec![0xb9]; // mov imm32, %ecx
        begin.extend_from_slice(&HYPERCALL_MSR.to_le_bytes());
        assert_eq!(code()[..5], begin);
        assert!(code().len() < 4096);
    }
}
