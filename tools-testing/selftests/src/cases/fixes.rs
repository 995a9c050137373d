// SPDX-License-Identifier: GPL-2.0
//! What fixes to C once set right, where no other topic comes by it. The table
//! in Documentation/upstream-fixes.rst has all fixes and their tests.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use kvm_bindings::{kvm_regs, kvm_xen_hvm_config};
use vm_memory::MmapRegion;

use crate::topic;
use harness::abi::hypercall::*;
use harness::abi::sched::*;
use harness::abi::{Abi, PAGE_SIZE};
use harness::check::{check, check_eq};
use harness::guest_code::{Entry, HYPERCALL_PAGE};
use harness::guest_cpu::{enter_compatibility_mode, DATA};
use harness::host_cpu::hypercall_instruction;
use harness::hyperv;
use harness::image::Place;
use harness::machine::{Machine, SPARE_PAGE};
use harness::memory::NO_MEMORY_GPA;
use harness::outcome::{fail, Outcome, Stop};
use harness::poll::{polling_guest, POLL};
use harness::port::Port;
use harness::vcpu::Exit;
use harness::vm::HYPERCALL_MSR;

const VERSION: u32 = 0x4_0011;

/// Hyper-V's hypercalls are those with bit 31 of eax; Xen's go on beside them.
fn hyperv_hypercalls_work_beside(abi: Abi) -> Outcome {
    let mut machine = Machine::new(abi)?;
    machine.boot(0)?;
    hyperv::enable(&machine.vm, &machine.vcpus[0])?;
    machine.set_up_hypercall_page(0)?;
    machine.vm.set_xen_version(VERSION)?;
    let vcpu = &mut machine.vcpus[0];
    let (entry, _) = hypercall_instruction();
    for _ in 0..2 {
        let (regs, status) = hyperv::unknown_call(abi);
        let exit = vcpu.start(entry, regs)?;
        check_eq("exit of Hyper-V's hypercall", exit, Exit::Done)?;
        check_eq("status", vcpu.result()?, status)?;

        let exit = vcpu.hypercall(XEN_VERSION, &[XENVER_VERSION])?;
        check_eq("exit of Xen's hypercall", exit, Exit::Done)?;
        check_eq("version", vcpu.result()?, VERSION.into())?;
    }
    Ok(())
}

/// 32-bit code in a 64-bit guest has registers of 32 bits: what is above them is
/// from elsewhere.
fn compatibility_mode_has_no_upper_halves() -> Outcome {
    const ELSEWHERE: u64 = 0xdead_beef << 32;
    let mut machine = Machine::new(Abi::Bits32)?;
    machine.boot(0)?;
    enter_compatibility_mode(&machine.vcpus[0])?;
    machine.vm.set_xen_version(VERSION)?;
    let (entry, _) = hypercall_instruction();
    let call = |number: u64, command: u64| kvm_regs {
        rax: ELSEWHERE | number,
        rbx: ELSEWHERE | command,
        rcx: ELSEWHERE | 0x8000_0001,
        rdx: ELSEWHERE,
        rsi: ELSEWHERE | 4,
        rdi: ELSEWHERE | 5,
        ..Default::default()
    };
    let vcpu = &mut machine.vcpus[0];
    let exit = vcpu.start(entry, call(XEN_VERSION, XENVER_EXTRAVERSION))?;
    if vcpu.fd.get_regs()?.rbx >> 32 == 0 {
        let why = "this CPU clears the upper halves in compatibility mode";
        return Err(Stop::Skip(why.into()));
    }
    let params = [XENVER_EXTRAVERSION, 0x8000_0001, 0, 4, 5];
    let expected = Exit::for_the_vmm(Abi::Bits32, 0, XEN_VERSION, &params);
    check_eq("exit", exit, expected)?;
    check_eq("exit", vcpu.return_to_guest(0)?, Exit::Done)?;
    let exit = vcpu.start(entry, call(XEN_VERSION, XENVER_VERSION))?;
    check_eq("exit", exit, Exit::Done)?;
    check_eq("version", vcpu.result()?, VERSION.into())
}

/// vcpu_info may move to another place in its page.
fn vcpu_info_moves_within_its_page(abi: Abi) -> Outcome {
    let place = |offset| Place {
        page: SPARE_PAGE,
        offset,
    };
    let machine = Machine::builder(abi)
        .vcpu_info_at(&[place(0x200)])
        .build()?;
    machine.vm.send(1, 0)?;
    for (port, offset) in [(abi.word_bits(), 0x240), (2 * abi.word_bits(), 0x1c0)] {
        machine.vcpus[0].set_vcpu_info(place(offset).gpa())?;
        let area = &machine.area;
        let info = harness::abi::VcpuInfo::new(area.slice(SPARE_PAGE, offset, 64), abi);
        info.acknowledge();
        machine.vm.send(port, 0)?;
        let selector = 1 << (port / abi.word_bits());
        check_eq("selector at the new place", info.pending_sel(), selector)?;
        check_eq("at the old one", machine.vcpu_info(0).pending_sel(), 1)?;
    }
    Ok(())
}

/// There on kernels that look for leaks themselves.
const KMEMLEAK: &str = "/sys/kernel/debug/kmemleak";
const KMEMLEAK_TIMES: usize = 100;

/// Fails if `act`, done `times` times over, takes kernel memory for good: half of
/// `bytes` each time, or more.
#[track_caller]
fn check_freed(times: usize, bytes: usize, mut act: impl FnMut() -> Outcome) -> Outcome {
    if Path::new(KMEMLEAK).exists() {
        // KASAN keeps what is freed for a while; but a few are enough for kmemleak to tell of.
        return (0..KMEMLEAK_TIMES).try_for_each(|_| act());
    }
    act()?;
    let before = slab()?;
    for _ in 0..times {
        act()?;
    }
    let grown = slab()?.saturating_sub(before);
    let leaked = times * bytes;
    check(
        format!("less than half of {leaked} bytes, not {grown}"),
        grown < leaked / 2,
    )
}

/// A hypercall page that can't be written is freed: guests may ask for it as often
/// as they like.
fn page_that_goes_nowhere_is_freed() -> Outcome {
    let mut machine = Machine::booted_with_msr_exits(Abi::Bits64)?;
    let blob = MmapRegion::<()>::new(PAGE_SIZE)?;
    let address = blob.as_ptr() as u64;
    machine.vm.xen_config(&kvm_xen_hvm_config {
        flags: 0,
        msr: HYPERCALL_MSR,
        blob_addr_32: address,
        blob_addr_64: address,
        blob_size_32: 1,
        blob_size_64: 1,
        ..Default::default()
    })?;
    check_freed(2048, PAGE_SIZE, || {
        let exit = machine.vcpus[0].wrmsr(HYPERCALL_MSR, NO_MEMORY_GPA)?;
        check("a refusal", matches!(exit, Exit::Wrmsr(..)))
    })
}

/// So is the memory for ports that can't be read.
fn poll_of_unreadable_ports_is_freed(abi: Abi) -> Outcome {
    const PORTS: u32 = 128;
    let mut machine = polling_guest(abi, &[0])?;
    let poll = sched_poll(abi, 0x8000_0000, PORTS, 0);
    machine.ram.write(POLL, &poll)?;
    check_freed(16384, PORTS as usize * 4, || {
        let exit = machine.vcpus[0].hypercall(SCHED_OP, &[SCHEDOP_POLL, POLL])?;
        check_eq("exit", exit, Exit::Done)?;
        check_eq("result", machine.vcpus[0].result()?, XEN_EFAULT)
    })
}

/// Bytes in the kernel's slabs.
fn slab() -> Outcome<usize> {
    let info = fs::read_to_string("/proc/meminfo")?;
    let line = info.lines().find_map(|line| line.strip_prefix("Slab:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    let kilobytes: usize = kilobytes.ok_or_else(|| fail("/proc/meminfo has no Slab"))?;
    Ok(kilobytes * 1024)
}

/// A reset waits for guests in hypercalls, and they do not wait for it.
fn reset_ends_beside_a_busy_guest(abi: Abi) -> Outcome {
    const RESETS: u32 = 12;
    const PATIENCE: Duration = Duration::from_secs(20);
    let mut machine = Machine::new(abi)?;
    machine.boot_with_hypercalls(0)?;
    machine.ram.write(DATA, &5_u32.to_le_bytes())?;
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let guest = machine.detach(0, move |vcpu| loop {
        // Both take the lock of Xen's state, or did so once, inside kvm->srcu.
        let exit = vcpu.hypercall(EVENT_CHANNEL_OP, &[EVTCHNOP_SEND, DATA])?;
        if !matches!(exit, Exit::Done | Exit::Hypercall(_)) {
            return Ok(exit);
        }
        let exit = vcpu.wrmsr(HYPERCALL_MSR, HYPERCALL_PAGE)?;
        if exit != Exit::Done || stopped.try_recv().is_ok() {
            return Ok(exit);
        }
    })?;
    let start = Instant::now();
    for _ in 0..RESETS {
        machine.vm.assign(Port::ipi(5, 0))?;
        machine.vm.reset_ports()?;
    }
    println!("# {RESETS} resets: {:?}", start.elapsed());
    stop.send(())?;
    let (exit, _) = guest.back(&mut machine, PATIENCE)?;
    check_eq("exit", exit, Exit::Done)
}

/// A guest that gets events before it enables its local APIC is told of them when
/// it does.
fn vcpu_vector_comes_when_the_lapic_is_enabled(abi: Abi) -> Outcome {
    const VECTOR: u8 = 0x72;
    const X2APIC_SPURIOUS: u32 = 0x80f;
    let mut machine = Machine::new(abi)?;
    machine.boot(0)?;
    let vcpu = &mut machine.vcpus[0];
    vcpu.enter_x2apic_mode()?;
    vcpu.set_upcall_vector(VECTOR)?;
    machine.vm.send(5, 0)?;
    let window = |vcpu: &mut harness::vcpu::Vcpu| vcpu.start(Entry::Window, kvm_regs::default());
    check_eq("exit before", window(vcpu)?, Exit::Done)?;
    let exit = vcpu.wrmsr(X2APIC_SPURIOUS, 0x1ff)?;
    check_eq("write of the APIC's MSR", exit, Exit::Done)?;
    check_eq("exit after", window(vcpu)?, Exit::Interrupt(VECTOR))
}

topic! { "fixes";
    each_abi hyperv_hypercalls_work_beside,
    once compatibility_mode_has_no_upper_halves,
    each_abi vcpu_info_moves_within_its_page,
    once page_that_goes_nowhere_is_freed,
    each_abi poll_of_unreadable_ports_is_freed,
    each_abi reset_ends_beside_a_busy_guest,
    each_abi vcpu_vector_comes_when_the_lapic_is_enabled,
}
