// SPDX-License-Identifier: GPL-2.0
//! `KVM_XEN_ATTR_TYPE_EVTCHN`: the ports that a guest sends through.

use nix::errno::Errno;
use vmm_sys_util::eventfd::{EventFd, EFD_NONBLOCK};

use harness::abi::Abi;
use harness::check::check_eq;
use harness::ioctl;
use harness::machine::Machine;
use harness::outcome::Outcome;
use harness::port::Port;
use kvm_bindings::{KVM_XEN_EVTCHN_DEASSIGN, KVM_XEN_EVTCHN_RESET, KVM_XEN_EVTCHN_UPDATE};

use super::Path;
use crate::sample::{Samples, FEW, MANY};

const FLOOR: &str = "port/rejected";
/// A port that is neither the first nor the last.
const PORT: u32 = 77;

fn guest() -> Outcome<Machine> {
    Machine::builder(Abi::Bits64).vcpus(&[0, 1]).build()
}

/// Changes the table by `port`, after `prepare`.
fn change(
    machine: &Machine,
    count: usize,
    port: Port,
    prepare: impl FnMut() -> Outcome,
) -> Outcome<Samples> {
    let attr = port.attr();
    Samples::of(count, prepare, || {
        Ok(ioctl::xen_hvm_set_attr(&machine.vm.fd, &attr)?)
    })
}

fn rejected() -> Outcome<Samples> {
    let machine = guest()?;
    // What to do is looked at last.
    let attr = Port::ipi(PORT, 0).flags(u32::MAX).attr();
    Samples::of(
        MANY,
        || Ok(()),
        || {
            let result = ioctl::xen_hvm_set_attr(&machine.vm.fd, &attr);
            check_eq("result", result, Err(Errno::EINVAL))
        },
    )
}

fn assign(port: Port) -> Outcome<Samples> {
    let machine = guest()?;
    change(&machine, MANY, port, || Ok(machine.vm.reset_ports()?))
}

fn assign_eventfd() -> Outcome<Samples> {
    let eventfd = EventFd::new(EFD_NONBLOCK)?;
    assign(Port::eventfd(PORT, &eventfd))
}

fn update() -> Outcome<Samples> {
    let machine = guest()?;
    machine.vm.assign(Port::ipi(PORT, 0))?;
    let to_other = Port::ipi(PORT, 1).flags(KVM_XEN_EVTCHN_UPDATE);
    change(&machine, MANY, to_other, || {
        Ok(machine.vm.update(Port::ipi(PORT, 0))?)
    })
}

fn deassign() -> Outcome<Samples> {
    let machine = guest()?;
    let none = Port::to_port(0, PORT, 0, 0).flags(KVM_XEN_EVTCHN_DEASSIGN);
    change(&machine, FEW, none, || {
        Ok(machine.vm.assign(Port::ipi(PORT, 0))?)
    })
}

/// Many, none of which waits for the one before to be forgotten.
fn deassign_many() -> Outcome<Samples> {
    let machine = guest()?;
    let ports = 1..=FEW as u32;
    for port in ports.clone() {
        machine.vm.assign(Port::ipi(port, 0))?;
    }
    let mut samples = Samples::default();
    for port in ports {
        let attr = Port::to_port(0, port, 0, 0)
            .flags(KVM_XEN_EVTCHN_DEASSIGN)
            .attr();
        samples.time(|| Ok(ioctl::xen_hvm_set_attr(&machine.vm.fd, &attr)?))?;
    }
    Ok(samples)
}

/// With `ports` that are assigned, and some taken away just before.
fn reset(ports: u32, deassigned: u32) -> Outcome<Samples> {
    let machine = guest()?;
    let none = Port::to_port(0, 0, 0, 0).flags(KVM_XEN_EVTCHN_RESET);
    change(&machine, FEW, none, || {
        for port in 1..=ports + deassigned {
            machine.vm.assign(Port::ipi(port, 0))?;
        }
        for port in ports + 1..=ports + deassigned {
            machine.vm.deassign(port)?;
        }
        Ok(())
    })
}

pub fn paths() -> Vec<Path> {
    let reset_of = |name: &str, ports, deassigned| {
        let measure = move || reset(ports, deassigned);
        Path::above(FLOOR, format!("port/reset-{name}"), measure)
    };
    vec![
        Path::floor(FLOOR, rejected),
        Path::above(FLOOR, "port/assign-ipi", || assign(Port::ipi(PORT, 0))),
        Path::above(FLOOR, "port/assign-interdomain", || {
            assign(Port::interdomain(PORT, PORT + 1, 1))
        }),
        Path::above(FLOOR, "port/assign-eventfd", assign_eventfd),
        Path::above(FLOOR, "port/update", update),
        Path::above(FLOOR, "port/deassign", deassign),
        Path::above(FLOOR, "port/deassign-one-after-another", deassign_many),
        reset_of("0", 0, 0),
        reset_of("1", 1, 0),
        reset_of("100", 100, 0),
        reset_of("300", 300, 0),
        reset_of("4000", 4000, 0),
        reset_of("300-after-deassigns", 300, 8),
    ]
}
