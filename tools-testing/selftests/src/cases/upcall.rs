// SPDX-License-Identifier: GPL-2.0
//! How a guest is told of events: the vector of all vCPUs, or a vCPU's own.

use kvm_bindings::kvm_regs;

use crate::topic;
use harness::abi::Abi;
use harness::attr::INVALID_GPA;
use harness::background::run_while;
use harness::check::check_eq;
use harness::guest_code::Entry;
use harness::machine::Machine;
use harness::outcome::Outcome;
use harness::vcpu::{Exit, Vcpu};

const VM_VECTOR: u8 = 0x61;
const VCPU_VECTOR: u8 = 0x72;

/// Which of the two vectors a guest uses.
#[derive(Clone, Copy)]
enum Upcall {
    Vm,
    Vcpu,
}

impl Upcall {
    fn vector(self) -> u8 {
        match self {
            Upcall::Vm => VM_VECTOR,
            Upcall::Vcpu => VCPU_VECTOR,
        }
    }
}

/// A guest with two vCPUs, ready to run.
fn guest(abi: Abi, upcall: Option<Upcall>) -> Outcome<Machine> {
    let mut machine = Machine::builder(abi).vcpus(&[0, 1]).build()?;
    for index in 0..2 {
        machine.boot(index)?;
        machine.vcpus[index].enable_lapic()?;
        if let Some(Upcall::Vcpu) = upcall {
            machine.vcpus[index].set_upcall_vector(VCPU_VECTOR)?;
        }
    }
    if let Some(Upcall::Vm) = upcall {
        machine.vm.set_upcall_vector(VM_VECTOR)?;
    }
    Ok(machine)
}

fn window(vcpu: &mut Vcpu) -> nix::Result<Exit> {
    vcpu.start(Entry::Window, kvm_regs::default())
}

fn delivered(abi: Abi, upcall: Upcall) -> Outcome {
    let mut machine = guest(abi, Some(upcall))?;
    let mut expected = machine.image();
    for port in [4, abi.ports() - 1] {
        expected.deliver(0, port);
        machine.vm.send(port, 0)?;
        let exit = window(&mut machine.vcpus[0])?;
        check_eq("exit", exit, Exit::Interrupt(upcall.vector()))?;
        expected.check_but_clocks(&machine.area)?;

        // The handler has seen it, and the interrupt does not come again.
        machine.vcpu_info(0).acknowledge();
        expected.vcpu_info(0).acknowledge();
        check_eq("exit", machine.vcpus[0].run()?, Exit::Done)?;
        let exit = window(&mut machine.vcpus[0])?;
        check_eq("exit when acknowledged", exit, Exit::Done)?;
    }
    Ok(())
}

/// An event interrupts the guest at the vector of all vCPUs.
fn vm_vector_interrupts(abi: Abi) -> Outcome {
    delivered(abi, Upcall::Vm)
}

/// An event interrupts the guest at the vCPU's own vector.
fn vcpu_vector_interrupts(abi: Abi) -> Outcome {
    delivered(abi, Upcall::Vcpu)
}

/// A guest without any vector looks for events by itself.
fn no_vector_does_not_interrupt(abi: Abi) -> Outcome {
    let mut machine = guest(abi, None)?;
    let mut expected = machine.image();
    expected.deliver(0, 4);
    machine.vm.send(4, 0)?;
    check_eq("exit", window(&mut machine.vcpus[0])?, Exit::Done)?;
    expected.check_but_clocks(&machine.area)
}

/// A vector that was taken away is not used.
fn zero_vector_disables(abi: Abi) -> Outcome {
    for upcall in [Upcall::Vm, Upcall::Vcpu] {
        let mut machine = guest(abi, Some(upcall))?;
        match upcall {
            Upcall::Vm => machine.vm.set_upcall_vector(0)?,
            Upcall::Vcpu => machine.vcpus[0].set_upcall_vector(0)?,
        }
        machine.vm.send(4, 0)?;
        check_eq("exit", window(&mut machine.vcpus[0])?, Exit::Done)?;
    }
    Ok(())
}

/// Nobody asked to be told of a masked port.
fn masked_port_does_not_interrupt(abi: Abi) -> Outcome {
    for upcall in [Upcall::Vm, Upcall::Vcpu] {
        let mut machine = guest(abi, Some(upcall))?;
        machine.shared_info().set_masked(4, true);
        machine.vm.send(4, 0)?;
        check_eq("exit", window(&mut machine.vcpus[0])?, Exit::Done)?;
    }
    Ok(())
}

/// The other vCPU goes on undisturbed.
fn only_the_right_vcpu_is_interrupted(abi: Abi) -> Outcome {
    for upcall in [Upcall::Vm, Upcall::Vcpu] {
        let mut machine = guest(abi, Some(upcall))?;
        machine.vm.send(4, 1)?;
        let exit = window(&mut machine.vcpus[0])?;
        check_eq("exit of vCPU 0", exit, Exit::Done)?;
        let exit = window(&mut machine.vcpus[1])?;
        let interrupt = Exit::Interrupt(upcall.vector());
        check_eq("exit of vCPU 1", exit, interrupt)?;
    }
    Ok(())
}

/// As long as evtchn_upcall_pending is set, the VM's vector comes again.
fn vm_vector_repeats_until_acknowledged(abi: Abi) -> Outcome {
    let mut machine = guest(abi, Some(Upcall::Vm))?;
    machine.vm.send(4, 0)?;
    let exit = window(&mut machine.vcpus[0])?;
    check_eq("exit", exit, Exit::Interrupt(VM_VECTOR))?;
    for _ in 0..3 {
        let exit = machine.vcpus[0].run()?;
        check_eq("exit", exit, Exit::Interrupt(VM_VECTOR))?;
    }
    machine.vcpu_info(0).set_upcall_pending(0);
    check_eq("exit", machine.vcpus[0].run()?, Exit::Done)
}

/// The VMM, too, may ask for an upcall by evtchn_upcall_pending.
fn vm_vector_follows_upcall_pending(abi: Abi) -> Outcome {
    let mut machine = guest(abi, Some(Upcall::Vm))?;
    machine.vcpu_info(0).set_upcall_pending(1);
    let exit = window(&mut machine.vcpus[0])?;
    check_eq("exit", exit, Exit::Interrupt(VM_VECTOR))
}

/// The vCPU's vector comes once for each time that a selector is set.
fn vcpu_vector_comes_once_per_selector(abi: Abi) -> Outcome {
    let mut machine = guest(abi, Some(Upcall::Vcpu))?;
    machine.vm.send(4, 0)?;
    let exit = window(&mut machine.vcpus[0])?;
    check_eq("exit", exit, Exit::Interrupt(VCPU_VECTOR))?;
    check_eq("exit", machine.vcpus[0].run()?, Exit::Done)?;

    // In the same word, whose selector the guest has not cleared.
    machine.vm.send(6, 0)?;
    let exit = window(&mut machine.vcpus[0])?;
    check_eq("exit, same selector", exit, Exit::Done)?;
    machine.vm.send(abi.word_bits(), 0)?;
    let exit = window(&mut machine.vcpus[0])?;
    check_eq("exit, another selector", exit, Exit::Interrupt(VCPU_VECTOR))
}

/// An event kept until vcpu_info is known interrupts when it gets there.
fn vcpu_vector_follows_kept_events(abi: Abi) -> Outcome {
    let mut machine = guest(abi, Some(Upcall::Vcpu))?;
    machine.vcpus[0].set_vcpu_info(INVALID_GPA)?;
    machine.vm.send(4, 0)?;
    machine.vcpus[0].complete(Entry::Cpuid)?;
    let exit = window(&mut machine.vcpus[0])?;
    check_eq("exit without vcpu_info", exit, Exit::Done)?;

    machine.set_vcpu_info(0)?;
    machine.vcpus[0].complete(Entry::Cpuid)?;
    let exit = window(&mut machine.vcpus[0])?;
    check_eq("exit with it", exit, Exit::Interrupt(VCPU_VECTOR))?;
    let sel = machine.vcpu_info(0).pending_sel();
    check_eq("pending_sel", sel, 1)
}

fn waiting_vcpu_is_interrupted(abi: Abi, upcall: Upcall, entry: Entry) -> Outcome {
    let mut machine = guest(abi, Some(upcall))?;
    let (vm, vcpu) = (&machine.vm, &mut machine.vcpus[0]);
    let exit = run_while(vcpu, entry, || Ok(vm.send(4, 0)?))?;
    check_eq("exit", exit, Exit::Interrupt(upcall.vector()))
}

/// An event ends the halt of a vCPU that waits for the VM's vector.
fn vm_vector_wakes_a_halted_vcpu(abi: Abi) -> Outcome {
    waiting_vcpu_is_interrupted(abi, Upcall::Vm, Entry::Halt)
}

/// An event ends the halt of a vCPU that waits for its own vector.
fn vcpu_vector_wakes_a_halted_vcpu(abi: Abi) -> Outcome {
    waiting_vcpu_is_interrupted(abi, Upcall::Vcpu, Entry::Halt)
}

/// A vCPU that runs is kicked out of the guest to take the VM's vector.
fn vm_vector_interrupts_a_running_vcpu(abi: Abi) -> Outcome {
    waiting_vcpu_is_interrupted(abi, Upcall::Vm, Entry::Spin)
}

/// A vCPU that runs takes its own vector.
fn vcpu_vector_interrupts_a_running_vcpu(abi: Abi) -> Outcome {
    waiting_vcpu_is_interrupted(abi, Upcall::Vcpu, Entry::Spin)
}

/// A vCPU whose vcpu_info was dropped is kicked to look for it, and is told.
fn event_kept_for_a_waiting_vcpu_reaches_it(abi: Abi) -> Outcome {
    for upcall in [Upcall::Vm, Upcall::Vcpu] {
        for entry in [Entry::Halt, Entry::Spin] {
            let mut machine = guest(abi, Some(upcall))?;
            let page = machine.place(0).page;
            let (vm, area) = (&machine.vm, &machine.area);
            let exit = run_while(&mut machine.vcpus[0], entry, || {
                area.discard(page)?;
                Ok(vm.send(4, 0)?)
            })?;
            let interrupt = Exit::Interrupt(upcall.vector());
            check_eq(format!("exit of {entry:?}"), exit, interrupt)?;
            check_eq("pending_sel", machine.vcpu_info(0).pending_sel(), 1)?;
        }
    }
    Ok(())
}

topic! { "upcall";
    each_abi vm_vector_interrupts,
    each_abi vcpu_vector_interrupts,
    each_abi no_vector_does_not_interrupt,
    each_abi zero_vector_disables,
    each_abi masked_port_does_not_interrupt,
    each_abi only_the_right_vcpu_is_interrupted,
    each_abi vm_vector_repeats_until_acknowledged,
    each_abi vm_vector_follows_upcall_pending,
    each_abi vcpu_vector_comes_once_per_selector,
    each_abi vcpu_vector_follows_kept_events,
    each_abi vm_vector_wakes_a_halted_vcpu,
    each_abi vcpu_vector_wakes_a_halted_vcpu,
    each_abi vm_vector_interrupts_a_running_vcpu,
    each_abi vcpu_vector_interrupts_a_running_vcpu,
    each_abi event_kept_for_a_waiting_vcpu_reaches_it,
}
