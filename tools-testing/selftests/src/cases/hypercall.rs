// SPDX-License-Identifier: GPL-2.0
//! How hypercalls reach KVM, and how they go on to the VMM: instructions,
//! registers, rings. What EVTCHNOP_send does is in guest_send.rs.

use crate::topic;
use harness::abi::hypercall::*;
use harness::abi::Abi;
use harness::check::check_eq;
use harness::guest_code::Entry;
use harness::guest_cpu::enter_ring3;
use harness::host_cpu::hypercall_instruction;
use harness::machine::Machine;
use harness::outcome::Outcome;
use harness::vcpu::{Exit, Hypercall};

/// A guest whose vCPU 0 can make hypercalls.
fn guest(abi: Abi) -> Outcome<Machine> {
    let mut machine = Machine::new(abi)?;
    machine.boot_with_hypercalls(0)?;
    Ok(machine)
}

/// What the VMM gets of a guest's XEN_VERSION.
fn version_for_the_vmm(abi: Abi, cpl: u32, command: u64) -> Exit {
    Exit::Hypercall(Hypercall {
        longmode: abi.long_mode().into(),
        cpl,
        input: XEN_VERSION,
        params: [command, 0, 0, 0, 0, 0],
    })
}

/// All six arguments reach the VMM.
fn arguments_reach_the_vmm(abi: Abi) -> Outcome {
    let mut machine = guest(abi)?;
    let params = match abi {
        // The sixth is in ebp, which guest code here leaves at 0.
        Abi::Bits32 => [EVTCHNOP_CLOSE, 0xa1, 0xa2_0000, 0xffff_ffff, 0xa4, 0],
        Abi::Bits64 => [EVTCHNOP_CLOSE, 0xa1 << 40, 0xa2, u64::MAX, 0xa4, 0xa5],
    };
    let exit = machine.vcpus[0].hypercall(EVENT_CHANNEL_OP, &params)?;
    let expected = Exit::Hypercall(Hypercall {
        longmode: abi.long_mode().into(),
        cpl: 0,
        input: EVENT_CHANNEL_OP,
        params,
    });
    check_eq("exit", exit, expected)
}

/// The VMM's answer is in the guest's result register, in full width.
fn result_of_the_vmm_reaches_the_guest(abi: Abi) -> Outcome {
    let mut machine = guest(abi)?;
    let vcpu = &mut machine.vcpus[0];
    let results = match abi {
        Abi::Bits32 => [0, 0x1234_5678, XEN_EFAULT],
        Abi::Bits64 => [0, 0x1234_5678_9abc_def0, XEN_EFAULT],
    };
    for result in results {
        let exit = vcpu.hypercall(XEN_VERSION, &[XENVER_EXTRAVERSION])?;
        let left_to_vmm = version_for_the_vmm(abi, 0, XENVER_EXTRAVERSION);
        check_eq("exit", exit, left_to_vmm)?;
        check_eq("exit", vcpu.return_to_guest(result)?, Exit::Done)?;
        check_eq("result", vcpu.result()?, result)?;
    }
    Ok(())
}

/// User programs of the guest may ask nothing of KVM; the VMM may answer them.
fn ring_3_is_left_to_the_vmm(abi: Abi) -> Outcome {
    let mut machine = guest(abi)?;
    machine.vm.set_xen_version(0x4_0011)?;
    enter_ring3(&machine.vcpus[0])?;
    let exit = machine.vcpus[0].hypercall(XEN_VERSION, &[XENVER_VERSION])?;
    check_eq("exit", exit, version_for_the_vmm(abi, 3, XENVER_VERSION))
}

/// Interception works with the MSR alone, before the guest has a page, and by
/// either vendor's instruction: KVM mends the wrong one.
fn both_instructions_work_without_a_page(abi: Abi) -> Outcome {
    let mut machine = Machine::new(abi)?;
    machine.boot(0)?;
    let (own, _) = hypercall_instruction();
    for entry in [own, Entry::Vmcall, Entry::Vmmcall] {
        let params = [XENVER_EXTRAVERSION];
        let exit = machine.vcpus[0].hypercall_by(entry, XEN_VERSION, &params)?;
        let left_to_vmm = version_for_the_vmm(abi, 0, XENVER_EXTRAVERSION);
        check_eq(format!("exit of {entry:?}"), exit, left_to_vmm)?;
    }
    Ok(())
}

/// KVM answers with the version it was given, and leaves other questions alone.
fn xen_version_is_answered_once_set(abi: Abi) -> Outcome {
    let mut machine = guest(abi)?;
    let ask = |machine: &mut Machine, command| machine.vcpus[0].hypercall(XEN_VERSION, &[command]);
    let left_to_vmm = |command| version_for_the_vmm(abi, 0, command);

    let exit = ask(&mut machine, XENVER_VERSION)?;
    check_eq("exit before", exit, left_to_vmm(XENVER_VERSION))?;
    machine.vm.set_xen_version(0x4_0011)?;
    check_eq("exit", ask(&mut machine, XENVER_VERSION)?, Exit::Done)?;
    check_eq("version", machine.vcpus[0].result()?, 0x4_0011)?;
    let exit = ask(&mut machine, XENVER_EXTRAVERSION)?;
    check_eq("exit", exit, left_to_vmm(XENVER_EXTRAVERSION))
}

topic! { "hypercall";
    each_abi arguments_reach_the_vmm,
    each_abi result_of_the_vmm_reaches_the_guest,
    each_abi ring_3_is_left_to_the_vmm,
    each_abi both_instructions_work_without_a_page,
    each_abi xen_version_is_answered_once_set,
}
