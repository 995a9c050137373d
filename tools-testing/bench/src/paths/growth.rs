// SPDX-License-Identifier: GPL-2.0
//! Paths where there are more ports, vCPUs or VMs.

use std::thread;

use kvm_bindings::{kvm_regs, KVM_XEN_HVM_CONFIG_EVTCHN_SEND};
use kvm_xen_ioctls::intercept_hypercalls;
use protocol::{Cost, Server, GROWTH};

use harness::abi::sched::{SCHEDOP_POLL, SCHED_OP};
use harness::abi::Abi;
use harness::check::check_eq;
use harness::guest_code::Entry;
use harness::guest_cpu::entry_address;
use harness::image::Place;
use harness::machine::{Machine, VCPU_INFO_PAGE};
use harness::outcome::{fail, Outcome};
use harness::poll::{AWAKE, POLL};
use harness::port::Port;
use harness::vcpu::Exit;
use harness::vm::{errno, HYPERCALL_MSR};

use super::send::{send_to, Before, PORT};
use super::{hypercall, irqfd};
use crate::sample::{Samples, FEW, MANY};

/// How many there are of what a path might take longer for.
struct Size {
    ports: u32,
    vcpus: u32,
    vms: usize,
}

/// By what they are called.
const SIZES: [(&str, Size); 7] = [
    ("1 port, 2 vCPUs, 1 VM", LEAST),
    (
        "100 ports",
        Size {
            ports: 100,
            ..LEAST
        },
    ),
    (
        "4,095 ports",
        Size {
            ports: 4095,
            ..LEAST
        },
    ),
    ("16 vCPUs", Size { vcpus: 16, ..LEAST }),
    (
        "255 vCPUs",
        Size {
            vcpus: 255,
            ..LEAST
        },
    ),
    ("16 VMs", Size { vms: 16, ..LEAST }),
    ("64 VMs", Size { vms: 64, ..LEAST }),
];

const LEAST: Size = Size {
    ports: 1,
    vcpus: 2,
    vms: 1,
};

/// What other vCPUs poll for, and nobody sends to; and for how long.
const QUIET_PORT: u32 = 1000;
const POLL_NS: u64 = 1_000_000_000;

type Measure = fn(&mut Machine, &Size) -> Outcome<Samples>;

/// In this order: a reset leaves no port.
const PATHS: [(&str, Measure); 9] = [
    ("send", |machine, size| {
        send_to(machine, size.vcpus - 2, 0, Before::Clear)
    }),
    ("send-where-id-is-not-index", |machine, size| {
        send_to(machine, last_id(size), 0, Before::Clear)
    }),
    ("irqfd", |machine, size| {
        irqfd::signal(machine, last_id(size), Before::Clear)
    }),
    ("hypercall-send", |machine, size| {
        hypercall::send_through(machine, size.ports, size.ports, 0, Before::Clear)
    }),
    ("poll", |machine, _| hypercall::poll(machine, &[PORT])),
    ("assign", assign),
    ("reset", reset),
    ("send-beside-pollers", |machine, size| {
        beside_pollers(machine, size, |machine| {
            send_to(machine, 0, 0, Before::Clear)
        })
    }),
    ("poll-beside-pollers", |machine, size| {
        beside_pollers(machine, size, |machine| hypercall::poll(machine, &[PORT]))
    }),
];

/// What all of them cost.
pub fn costs(server: Server) -> Outcome<Vec<Cost>> {
    let mut costs = Vec::new();
    for (called, size) in &SIZES {
        let others = (1..size.vms).map(|_| Machine::new(Abi::Bits64));
        let _others = others.collect::<Outcome<Vec<_>>>()?;
        let mut machine = guest(size)?;
        for (name, measure) in PATHS {
            let ticks = measure(&mut machine, size)?.median();
            let ticks = ticks.ok_or_else(|| fail("no samples"))?;
            let path = format!("{GROWTH}{name}/{called}");
            costs.push(Cost::alone(path, server, ticks));
        }
    }
    Ok(costs)
}

/// The VMM's number of the last vCPU. It is not its index, as that of all others is.
fn last_id(size: &Size) -> u32 {
    size.vcpus
}

fn guest(size: &Size) -> Outcome<Machine> {
    let ids: Vec<u32> = (0..size.vcpus - 1).chain([last_id(size)]).collect();
    // There is not room for one of each; who writes to it does not matter.
    let place = Place {
        page: VCPU_INFO_PAGE,
        offset: 0,
    };
    let builder = Machine::builder(Abi::Bits64).vcpus(&ids);
    let mut machine = builder.vcpu_info_at(&vec![place; ids.len()]).build()?;
    let config = intercept_hypercalls(HYPERCALL_MSR, KVM_XEN_HVM_CONFIG_EVTCHN_SEND);
    machine.vm.xen_config(&config)?;
    machine.boot_with_hypercalls(0)?;
    assign_all(&machine, size)?;
    Ok(machine)
}

fn assign_all(machine: &Machine, size: &Size) -> Outcome {
    for port in 1..=size.ports {
        machine.vm.assign(Port::ipi(port, last_id(size)))?;
    }
    Ok(())
}

/// Assigns the last port of many.
fn assign(machine: &mut Machine, size: &Size) -> Outcome<Samples> {
    let vm = &machine.vm;
    let call = || Ok(vm.assign(Port::ipi(size.ports, last_id(size)))?);
    Samples::of(MANY, || Ok(vm.deassign(size.ports)?), call)
}

fn reset(machine: &mut Machine, size: &Size) -> Outcome<Samples> {
    machine.vm.reset_ports()?;
    let prepare = || assign_all(machine, size);
    Samples::of(FEW, prepare, || Ok(machine.vm.reset_ports()?))
}

/// While all other vCPUs poll.
fn beside_pollers(
    machine: &mut Machine,
    size: &Size,
    measure: impl Fn(&mut Machine) -> Outcome<Samples>,
) -> Outcome<Samples> {
    machine.write_poll(&[QUIET_PORT], POLL_NS)?;
    let regs = kvm_regs {
        // By the instruction itself, for which a vCPU needs no stack.
        rip: entry_address(Abi::Bits64, Entry::Vmmcall),
        rflags: 2,
        rax: SCHED_OP,
        rdi: SCHEDOP_POLL,
        rsi: POLL,
        ..Default::default()
    };
    let mut polls = Vec::new();
    for _ in 1..size.vcpus {
        machine.boot(1)?;
        polls.push(machine.detach(1, move |vcpu| {
            vcpu.fd.set_regs(&regs).map_err(errno)?;
            vcpu.run()
        })?);
    }
    // They read what they poll for.
    thread::sleep(AWAKE / 50);
    let samples = measure(machine)?;
    for poll in polls {
        check_eq("exit of a poll", poll.back(machine, AWAKE)?.0, Exit::Done)?;
    }
    Ok(samples)
}
