// SPDX-License-Identifier: GPL-2.0
//! Each allocation of each call fails once: the error is the right one, nothing has changed, and
//! the next call does it. For a kernel with fault injection; what would leak, kmemleak tells.

use std::cell::RefCell;

use kvm_bindings::{KVM_XEN_HVM_CONFIG_EVTCHN_SEND, KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADDR};
use nix::errno::Errno;
use vmm_sys_util::eventfd::{EventFd, EFD_NONBLOCK};

use crate::topic;
use harness::abi::hypercall::*;
use harness::abi::sched::{SCHEDOP_POLL, SCHED_OP};
use harness::abi::Abi;
use harness::attr::word;
use harness::check::{check, check_eq};
use harness::fail_nth::FailNth;
use harness::guest_code::HYPERCALL_PAGE;
use harness::guest_cpu::DATA;
use harness::irqfd::Route;
use harness::machine::{Machine, SHARED_INFO_PAGE, SPARE_PAGE, VCPU_INFO_PAGE};
use harness::memory::Area;
use harness::outcome::Outcome;
use harness::poll::polling_guest;
use harness::port::Port;
use harness::snapshot::Snapshot;
use harness::vcpu::Exit;
use harness::vm::{Vm, HYPERCALL_MSR};

const PORT: u32 = 9;

/// A call that has `least` allocations or more, all of which it can do without or reports. It is
/// refused with the guest as it was before.
fn fails_cleanly(
    machine: &mut Machine,
    least: u32,
    prepare: impl Fn(&mut Machine) -> Outcome,
    call: impl Fn(&mut Machine) -> Result<(), Errno>,
) -> Outcome {
    let allocations = FailNth::new()?;
    let mut refused = 0;
    let before = RefCell::new(Snapshot::of(machine));
    let sites = allocations.each(
        machine,
        |machine| {
            prepare(machine)?;
            before.replace(Snapshot::of(machine));
            Ok(())
        },
        |machine| call(machine),
        |machine, error| match error {
            None => Ok(()),
            Some(Errno::ENOMEM) => {
                refused += 1;
                before.borrow().check(machine)?;
                // What can't be read back shows here.
                Ok(call(machine)?)
            }
            Some(error) => check_eq("the error", error, Errno::ENOMEM),
        },
    )?;
    println!("# {refused} of them refused");
    check(
        format!("at least {least} allocations, not {sites}"),
        sites >= least,
    )
}

/// A call went well, or what it says is that memory or a page is missing.
fn no_memory_or_page(error: Option<Errno>) -> Outcome {
    check(
        format!("ENOMEM or EFAULT, not {error:?}"),
        matches!(error, None | Some(Errno::ENOMEM | Errno::EFAULT)),
    )
}

/// A guest call that has its allocations failed, KVM's own among them: it is refused, or made.
fn guest_call_fails_cleanly(
    machine: &mut Machine,
    prepare: impl Fn(&mut Machine) -> Outcome,
    call: impl Fn(&mut Machine) -> Result<Exit, Errno>,
) -> Outcome {
    let allocations = FailNth::new()?;
    allocations.each(
        machine,
        |machine| prepare(machine),
        |machine| call(machine).map(drop),
        |machine, error| {
            no_memory_or_page(error)?;
            prepare(machine)?;
            check_eq("exit of the next one", call(machine)?, Exit::Done)
        },
    )?;
    Ok(())
}

fn nothing(_: &mut Machine) -> Outcome {
    Ok(())
}

/// A sender and a place in the table.
fn assign(abi: Abi) -> Outcome {
    let mut machine = Machine::new(abi)?;
    let free = |machine: &mut Machine| match machine.vm.deassign(PORT) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(error) => Err(error.into()),
    };
    fails_cleanly(&mut machine, 2, free, |machine| {
        machine.vm.assign(Port::ipi(PORT, 0))
    })?;
    let eventfd = EventFd::new(EFD_NONBLOCK)?;
    fails_cleanly(&mut machine, 2, free, |machine| {
        machine.vm.assign(Port::eventfd(PORT, &eventfd))
    })
}

fn assigned(machine: &mut Machine) -> Outcome {
    match machine.vm.assign(Port::interdomain(PORT, PORT + 1, 0)) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// To bind a port to another vCPU takes no memory.
fn update(abi: Abi) -> Outcome {
    let mut machine = Machine::builder(abi).vcpus(&[0, 1]).build()?;
    fails_cleanly(&mut machine, 0, assigned, |machine| {
        machine.vm.update(Port::interdomain(PORT, PORT + 1, 1))
    })
}

/// To take a port away never fails: where there is no memory, it takes longer.
fn deassign(abi: Abi) -> Outcome {
    let mut machine = Machine::new(abi)?;
    let allocations = FailNth::new()?;
    allocations.each(
        &mut machine,
        assigned,
        |machine| machine.vm.deassign(PORT),
        |machine, error| {
            check_eq("the error", error, None)?;
            check_eq(
                "a second one",
                machine.vm.deassign(PORT),
                Err(Errno::ENOENT),
            )
        },
    )?;
    Ok(())
}

/// A refused reset leaves all ports.
fn reset(abi: Abi) -> Outcome {
    let mut machine = Machine::new(abi)?;
    let all = |machine: &mut Machine| {
        for port in 1..40 {
            match machine.vm.assign(Port::ipi(port, 0)) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    };
    let allocations = FailNth::new()?;
    let sites = allocations.each(
        &mut machine,
        all,
        |machine| machine.vm.reset_ports(),
        |machine, error| {
            let left = match error {
                None => Err(Errno::ENOENT),
                Some(Errno::ENOMEM) => Ok(()),
                Some(error) => return check_eq("the error", error, Errno::ENOMEM),
            };
            for port in 1..40 {
                check_eq(format!("port {port}"), machine.vm.deassign(port), left)?;
            }
            Ok(())
        },
    )?;
    check("at least the list of the senders", sites >= 1)
}

/// An event whose page has to be brought back, with all that takes.
fn send(abi: Abi) -> Outcome {
    let mut machine = Machine::new(abi)?;
    let away = |machine: &mut Machine| {
        machine.clear_events();
        machine.area.discard(SHARED_INFO_PAGE)
    };
    fails_cleanly_or_faults(&mut machine, away, |machine| machine.vm.send(PORT, 0))
}

/// As [`fails_cleanly`], where a page that can't be had is a bad address to KVM.
fn fails_cleanly_or_faults(
    machine: &mut Machine,
    prepare: impl Fn(&mut Machine) -> Outcome,
    call: impl Fn(&mut Machine) -> Result<(), Errno>,
) -> Outcome {
    let allocations = FailNth::new()?;
    let sites = allocations.each(
        machine,
        |machine| prepare(machine),
        |machine| call(machine),
        |machine, error| {
            no_memory_or_page(error)?;
            prepare(machine)?;
            Ok(call(machine)?)
        },
    )?;
    check("at least a page", sites >= 1)
}

/// The structures of VM and vCPU, on pages that are not there yet.
fn places(abi: Abi) -> Outcome {
    let mut machine = Machine::new(abi)?;
    fails_cleanly_or_faults(
        &mut machine,
        |machine| machine.area.discard(SHARED_INFO_PAGE),
        |machine| machine.vm.set_shared_info(Area::gfn(SHARED_INFO_PAGE)),
    )?;
    fails_cleanly_or_faults(
        &mut machine,
        |machine| machine.area.discard(SHARED_INFO_PAGE),
        |machine| {
            let hva = machine.area.hva(SHARED_INFO_PAGE, 0);
            machine.vm.set_shared_info_hva(hva)
        },
    )?;
    fails_cleanly_or_faults(
        &mut machine,
        |machine| machine.area.discard(VCPU_INFO_PAGE),
        |machine| machine.vcpus[0].set_vcpu_info(Area::gpa(VCPU_INFO_PAGE, 64)),
    )?;
    fails_cleanly_or_faults(
        &mut machine,
        |machine| {
            machine.area.discard(SPARE_PAGE)?;
            machine.area.discard(SPARE_PAGE + 1)
        },
        |machine| {
            // Across the two pages.
            let gpa = Area::gpa(SPARE_PAGE, 4096 - 20);
            machine.vcpus[0].set_attr(KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADDR, word(gpa))
        },
    )
}

/// KVM's own allocations, with Xen's routes in them.
fn routes(abi: Abi) -> Outcome {
    let mut machine = Machine::new(abi)?;
    fails_cleanly(&mut machine, 1, nothing, |machine| {
        machine
            .vm
            .set_routes(&[Route::new(24, PORT, 0), Route::new(25, PORT + 1, 0)])
    })
}

/// VMs and vCPUs are created, or not. Xen's part takes no memory, and KVM's takes much, in debugfs
/// above all.
fn creation() -> Outcome {
    let allocations = FailNth::new()?.one_in(23);
    let kvm = kvm_ioctls::Kvm::new()?;
    let created = |result: Result<(), kvm_ioctls::Error>| match result {
        Ok(()) => Ok(()),
        Err(error) => Err(Errno::from_raw(error.errno())),
    };
    let refused = |error: Option<Errno>| match error {
        None | Some(Errno::ENOMEM) => Ok(()),
        Some(error) => check_eq("the error", error, Errno::ENOMEM),
    };
    let vms = allocations.each(
        &mut (),
        |_| Ok(()),
        |_| created(kvm.create_vm().map(drop)),
        |_, error| refused(error),
    )?;
    let vcpus = allocations.each(
        &mut None,
        |vm| {
            *vm = Some(Vm::new()?);
            Ok(())
        },
        |vm| {
            let vm = vm.as_ref().expect("was prepared");
            created(vm.fd.create_vcpu(0).map(drop))
        },
        |_, error| refused(error),
    )?;
    check("some of each", vms > 0 && vcpus > 0)
}

/// The guest's hypercalls, and its hypercall page.
fn hypercalls(abi: Abi) -> Outcome {
    let mut machine = polling_guest(abi, &[0])?;
    machine.vm.set_xen_version(0x4_0011)?;
    machine.ram.write(DATA, &PORT.to_le_bytes())?;
    machine.vm.assign(Port::ipi(PORT, 0))?;
    guest_call_fails_cleanly(
        &mut machine,
        |machine| {
            machine.clear_events();
            machine.area.discard(SHARED_INFO_PAGE)
        },
        |machine| machine.vcpus[0].hypercall(EVENT_CHANNEL_OP, &[EVTCHNOP_SEND, DATA]),
    )?;
    guest_call_fails_cleanly(&mut machine, nothing, |machine| {
        machine.vcpus[0].hypercall(XEN_VERSION, &[XENVER_VERSION])
    })?;
    machine.write_poll(&[5], 1_000_000)?;
    guest_call_fails_cleanly(&mut machine, nothing, |machine| {
        machine.vcpus[0].hypercall(SCHED_OP, &[SCHEDOP_POLL, harness::poll::POLL])
    })?;
    guest_call_fails_cleanly(&mut machine, nothing, |machine| {
        machine.vcpus[0].wrmsr(HYPERCALL_MSR, HYPERCALL_PAGE)
    })
}

/// KVM_XEN_HVM_CONFIG, and what a VM is told.
fn attributes_of_a_vm(abi: Abi) -> Outcome {
    let mut machine = Machine::new(abi)?;
    type Call = fn(&mut Machine) -> Result<(), Errno>;
    let calls: [Call; 5] = [
        |machine| {
            let mut config = harness::vm::intercepting();
            config.flags |= KVM_XEN_HVM_CONFIG_EVTCHN_SEND;
            machine.vm.xen_config(&config)
        },
        |machine| machine.vm.set_long_mode(machine.abi.long_mode()),
        |machine| machine.vm.set_upcall_vector(0x60),
        |machine| machine.vm.set_xen_version(0x4_0011),
        |machine| machine.vm.set_runstate_update_flag(1),
    ];
    for call in calls {
        fails_cleanly(&mut machine, 0, nothing, call)?;
    }
    Ok(())
}

topic! { "failing_allocations";
    each_abi assign,
    each_abi update,
    each_abi deassign,
    each_abi reset,
    each_abi send,
    each_abi places,
    each_abi routes,
    once creation,
    each_abi hypercalls,
    each_abi attributes_of_a_vm,
}
