// SPDX-License-Identifier: GPL-2.0
//! How hypercalls reach KVM, and how they go on to the VMM: instructions, registers, rings, and what
//! is told of them. What EVTCHNOP_send does is in guest_send.rs.

use std::fs;
use std::path::{Path, PathBuf};

use kvm_bindings::kvm_regs;

use crate::topic;
use harness::abi::hypercall::*;
use harness::abi::sched::*;
use harness::abi::{Abi, PAGE_SIZE};
use harness::check::{check, check_eq};
use harness::guest_code::{Entry, HYPERCALL_PAGE, HYPERCALL_STUB};
use harness::guest_cpu::{enter_ring3, entry_address, DATA};
use harness::host_cpu::hypercall_instruction;
use harness::machine::Machine;
use harness::outcome::{fail, Outcome, Stop};
use harness::poll::polling_guest;
use harness::vcpu::Exit;
use harness::vm::HYPERCALL_MSR;

/// Six different arguments; 32-bit guest code has no sixth.
fn arguments(abi: Abi, first: u64) -> [u64; 6] {
    match abi {
        Abi::Bits32 => [first, 0x1111_2222, 0xffff_fffe, 3, 0x8000_0004, 0],
        Abi::Bits64 => [first, u64::MAX - 1, 1 << 63, 3, 0x1234_5678_9abc_def0, 5],
    }
}

/// Numbers and commands that KVM has no code for, with all arguments.
fn unknown_calls_are_left_to_the_vmm(abi: Abi) -> Outcome {
    let mut machine = polling_guest(abi, &[0])?;
    let (entry, _) = hypercall_instruction();
    let mut calls: Vec<(u64, u64)> = (0..64)
        .filter(|number| ![SCHED_OP, SET_TIMER_OP, VCPU_OP].contains(number))
        .map(|number| (number, 99))
        .collect();
    calls.extend([(0x7fff_ffff, 0), (0xffff_ffff, 0), (SCHED_OP, 99)]);
    if abi == Abi::Bits64 {
        // Only the whole of rax counts.
        calls.extend([((1 << 32) | XEN_VERSION, 0), (u64::MAX, 0)]);
    }
    machine.vm.set_xen_version(0x4_0011)?;
    for (number, first) in calls {
        let params = arguments(abi, first);
        let exit = machine.vcpus[0].hypercall_by(entry, number, &params)?;
        let expected = Exit::for_the_vmm(abi, 0, number, &params);
        check_eq(format!("exit of hypercall {number}"), exit, expected)?;
        let exit = machine.vcpus[0].return_to_guest(number ^ 0x55)?;
        check_eq("exit", exit, Exit::Done)?;
    }
    Ok(())
}

/// User programs get nothing from KVM, whatever they ask.
fn ring_3_is_left_to_the_vmm(abi: Abi) -> Outcome {
    let mut machine = polling_guest(abi, &[0])?;
    machine.vm.set_xen_version(0x4_0011)?;
    enter_ring3(&machine.vcpus[0])?;
    for (number, params) in [
        (XEN_VERSION, &[XENVER_VERSION][..]),
        (EVENT_CHANNEL_OP, &[EVTCHNOP_SEND, DATA]),
        (SCHED_OP, &[SCHEDOP_YIELD]),
        (SCHED_OP, &[SCHEDOP_POLL, DATA]),
        (VCPU_OP, &[VCPUOP_STOP_SINGLESHOT_TIMER]),
        (SET_TIMER_OP, &[5]),
    ] {
        let exit = machine.vcpus[0].hypercall(number, params)?;
        let expected = Exit::for_the_vmm(abi, 3, number, params);
        check_eq(format!("exit of hypercall {number}"), exit, expected)?;
    }
    Ok(())
}

/// The vCPU stays at the instruction until the VMM has answered, whose answer is then in the result
/// register, in full width.
fn answer_comes_at_the_same_rip(abi: Abi) -> Outcome {
    let mut machine = polling_guest(abi, &[0])?;
    let (entry, instruction) = hypercall_instruction();
    let vcpu = &mut machine.vcpus[0];
    let wide = match abi {
        Abi::Bits32 => 0x1234_5678,
        Abi::Bits64 => 0x1234_5678_9abc_def0,
    };
    for result in [0, wide, XEN_EFAULT] {
        vcpu.hypercall_by(entry, 40, &[])?;
        let rip = vcpu.fd.get_regs()?.rip;
        check_eq("rip", rip, entry_address(abi, entry))?;
        check_eq("exit", vcpu.return_to_guest(result)?, Exit::Done)?;
        check_eq("result", vcpu.result()?, result)?;
        let rip = vcpu.fd.get_regs()?.rip;
        let jump = entry_address(abi, entry) + instruction.len() as u64;
        check("the next instruction", rip > jump)?;
    }
    Ok(())
}

/// A vCPU that the VMM has moved elsewhere has no use for an answer.
fn answer_elsewhere_is_dropped(abi: Abi) -> Outcome {
    let mut machine = polling_guest(abi, &[0])?;
    let (entry, _) = hypercall_instruction();
    let vcpu = &mut machine.vcpus[0];
    vcpu.hypercall_by(entry, 40, &[])?;
    let regs = vcpu.fd.get_regs()?;
    let elsewhere = entry_address(abi, Entry::Window);
    vcpu.fd.set_regs(&kvm_regs {
        rip: elsewhere,
        rax: 0x77,
        ..regs
    })?;
    check_eq("exit", vcpu.return_to_guest(0x1234)?, Exit::Done)?;
    check_eq("rax", vcpu.result()?, 0x77)
}

/// Registers are those of the vCPU's mode, whatever LONG_MODE says.
fn word_size_is_that_of_the_vcpu(abi: Abi) -> Outcome {
    let mut machine = polling_guest(abi, &[0])?;
    machine.vm.set_long_mode(abi.other().long_mode())?;
    let params = arguments(abi, 99);
    let exit = machine.vcpus[0].hypercall(EVENT_CHANNEL_OP, &params)?;
    let expected = Exit::for_the_vmm(abi, 0, EVENT_CHANNEL_OP, &params);
    check_eq("exit", exit, expected)
}

/// Interception works with the MSR alone, before the guest has a page, and by
/// either vendor's instruction: KVM mends the wrong one.
fn both_instructions_work_without_a_page(abi: Abi) -> Outcome {
    let mut machine = Machine::new(abi)?;
    machine.boot(0)?;
    let (own, _) = hypercall_instruction();
    let params = [XENVER_EXTRAVERSION];
    for entry in [own, Entry::Vmcall, Entry::Vmmcall] {
        let exit = machine.vcpus[0].hypercall_by(entry, XEN_VERSION, &params)?;
        let expected = Exit::for_the_vmm(abi, 0, XEN_VERSION, &params);
        check_eq(format!("exit of {entry:?}"), exit, expected)?;
    }
    Ok(())
}

/// KVM answers with the version it was given, and leaves other questions alone.
fn xen_version_is_answered_once_set(abi: Abi) -> Outcome {
    let mut machine = polling_guest(abi, &[0])?;
    let vcpu = &mut machine.vcpus[0];
    let left_to_vmm = |command| Exit::for_the_vmm(abi, 0, XEN_VERSION, &[command]);
    let exit = vcpu.hypercall(XEN_VERSION, &[XENVER_VERSION])?;
    check_eq("exit before", exit, left_to_vmm(XENVER_VERSION))?;
    machine.vm.set_xen_version(0x4_0011)?;
    check_eq(
        "version",
        vcpu.call(XEN_VERSION, &[XENVER_VERSION])?,
        0x4_0011,
    )?;
    let exit = vcpu.hypercall(XEN_VERSION, &[XENVER_EXTRAVERSION])?;
    check_eq("exit", exit, left_to_vmm(XENVER_EXTRAVERSION))
}

/// All 32 bits of the version, in a register of either width.
fn xen_version_is_unsigned(abi: Abi) -> Outcome {
    let mut machine = polling_guest(abi, &[0])?;
    for version in [1, 0x4_0011, 0x8000_0000, u32::MAX] {
        machine.vm.set_xen_version(version)?;
        machine.vcpus[0].call(XEN_VERSION, &[XENVER_VERSION])?;
        let rax = machine.vcpus[0].fd.get_regs()?.rax;
        check_eq("rax", rax, version.into())?;
    }
    Ok(())
}

/// Every byte between the hypercalls' code traps.
fn padding_of_the_page_traps(abi: Abi) -> Outcome {
    const INT3: u8 = 0xcc;
    const CODE: usize = 9;
    let machine = polling_guest(abi, &[0])?;
    let page = machine.ram.read(HYPERCALL_PAGE, PAGE_SIZE)?;
    for (number, code) in page.chunks(HYPERCALL_STUB).enumerate() {
        let padding = &code[CODE..];
        let expected = vec![INT3; HYPERCALL_STUB - CODE];
        check_eq(format!("behind hypercall {number}"), padding, &expected)?;
    }
    Ok(())
}

/// A guest that asks for a page that is not there gets #GP.
fn bad_page_number_is_a_fault(abi: Abi) -> Outcome {
    const GP: u8 = 13;
    for value in [HYPERCALL_PAGE | 1, HYPERCALL_PAGE | 0xfff] {
        let mut machine = Machine::new(abi)?;
        machine.boot(0)?;
        let exit = machine.vcpus[0].wrmsr(HYPERCALL_MSR, value)?;
        check_eq(format!("MSR value {value:#x}"), exit, Exit::Exception(GP))?;
    }
    Ok(())
}

/// An instance of ftrace, taken away at the end.
struct Trace(PathBuf);

impl Trace {
    fn new() -> Outcome<Self> {
        let places = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
        let Some(root) = places
            .iter()
            .find(|at| Path::new(at).join("instances").exists())
        else {
            return Err(Stop::Skip("tracefs is not mounted".into()));
        };
        let trace = Self(Path::new(root).join(format!("instances/kvm-xen-{}", std::process::id())));
        fs::create_dir(&trace.0)
            .map_err(|error| Stop::Skip(format!("cannot trace here: {error}")))?;
        let event = trace.0.join("events/kvm/kvm_xen_hypercall/enable");
        fs::write(event, "1")?;
        Ok(trace)
    }

    fn lines(&self) -> Outcome<Vec<String>> {
        let text = fs::read_to_string(self.0.join("trace"))?;
        let hypercalls = text
            .lines()
            .filter_map(|line| line.split_once("kvm_xen_hypercall: "));
        Ok(hypercalls.map(|(_, fields)| fields.to_string()).collect())
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // It stays behind if the case fails; that disturbs nobody.
        let _ = fs::write(self.0.join("events/kvm/kvm_xen_hypercall/enable"), "0");
        let _ = fs::remove_dir(&self.0);
    }
}

/// The tracepoint has ring, number and arguments of each hypercall, whoever
/// serves it.
fn tracepoint_has_all_fields(abi: Abi) -> Outcome {
    let mut machine = polling_guest(abi, &[0])?;
    machine.vm.set_xen_version(0x4_0011)?;
    let trace = Trace::new()?;
    let mut expected = Vec::new();
    let mut call = |machine: &mut Machine, cpl: u32, number: u64, params: [u64; 6]| {
        let [a0, a1, a2, a3, a4, a5] = params;
        // The last has no prefix, in the kernel's own format.
        expected.push(format!(
            "cpl {cpl} nr {number:#x} a0 {a0:#x} a1 {a1:#x} a2 {a2:#x} a3 {a3:#x} \
             a4 {a4:#x} a5 {a5:x}"
        ));
        machine.vcpus[0].hypercall(number, &params)
    };
    call(&mut machine, 0, 40, arguments(abi, 7))?;
    call(&mut machine, 0, XEN_VERSION, arguments(abi, 0))?;
    call(&mut machine, 0, SCHED_OP, arguments(abi, SCHEDOP_YIELD))?;
    enter_ring3(&machine.vcpus[0])?;
    call(&mut machine, 3, XEN_VERSION, arguments(abi, 0))?;
    let got = trace.lines()?;
    if got != expected {
        return Err(fail(format!("trace: expected {expected:#?}, got {got:#?}")));
    }
    Ok(())
}

topic! { "hypercall_exit";
    each_abi unknown_calls_are_left_to_the_vmm,
    each_abi ring_3_is_left_to_the_vmm,
    each_abi answer_comes_at_the_same_rip,
    each_abi answer_elsewhere_is_dropped,
    each_abi word_size_is_that_of_the_vcpu,
    each_abi both_instructions_work_without_a_page,
    each_abi xen_version_is_answered_once_set,
    each_abi xen_version_is_unsigned,
    each_abi padding_of_the_page_traps,
    each_abi bad_page_number_is_a_fault,
    each_abi tracepoint_has_all_fields,
}
