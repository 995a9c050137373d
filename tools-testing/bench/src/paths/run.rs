// SPDX-License-Identifier: GPL-2.0
//! `KVM_RUN` of a guest that leaves at once: what each entry does for Xen.

use kvm_bindings::{kvm_regs, kvm_xen_hvm_config};
use kvm_ioctls::VcpuExit;

use harness::abi::{Abi, PAGE_SIZE};
use harness::guest_code::{Entry, PORT_DONE};
use harness::machine::{Machine, SPARE_PAGE};
use harness::memory::Area;
use harness::outcome::{fail, Outcome};
use harness::runstate;

use super::Path;
use crate::sample::{Samples, MANY};

const FLOOR: &str = "run/of-no-xen-guest";
const EVENTS: &str = "run/events-looked-for";

/// A guest that does nothing but leave, again and again.
fn guest() -> Outcome<Machine> {
    let mut machine = Machine::new(Abi::Bits64)?;
    machine.boot(0)?;
    machine.vcpus[0].complete(Entry::Window)?;
    Ok(machine)
}

fn run(machine: &mut Machine, looks: bool) -> Outcome<Samples> {
    let mut samples = Samples::default();
    let regs: kvm_regs = machine.vcpus[0].fd.get_regs()?;
    for _ in 0..MANY {
        let vcpu = &mut machine.vcpus[0].fd;
        if looks {
            // Has KVM look for events, as after whatever may have changed them.
            vcpu.set_regs(&regs)?;
        }
        samples.time(|| match vcpu.run()? {
            VcpuExit::IoOut(PORT_DONE, _) => Ok(()),
            other => Err(fail(format!("the guest left by {other:?}"))),
        })?;
    }
    Ok(samples)
}

/// With the runstate at `offset` of a page.
fn with_runstate(offset: usize, flag: u8) -> Outcome<Samples> {
    let mut machine = guest()?;
    machine.vm.set_runstate_update_flag(flag)?;
    runstate::set_address(&machine.vcpus[0], Area::gpa(SPARE_PAGE, offset))?;
    run(&mut machine, false)
}

/// With a vector for upcalls.
fn with_vector() -> Outcome<Samples> {
    let mut machine = guest()?;
    machine.vm.set_upcall_vector(0x40)?;
    run(&mut machine, true)
}

pub fn paths() -> Vec<Path> {
    let above =
        |name, measure: fn() -> Outcome<Samples>| Path::above(FLOOR, name, measure).with_entry();
    vec![
        Path::floor(FLOOR, || {
            let mut machine = guest()?;
            machine.vm.xen_config(&kvm_xen_hvm_config::default())?;
            run(&mut machine, false)
        }),
        above("run/accounts", || run(&mut guest()?, false)),
        above("run/runstate", || with_runstate(runstate::OFFSET, 0)),
        above("run/runstate-flagged", || {
            with_runstate(runstate::OFFSET, 1)
        }),
        above("run/runstate-in-two-pages", || {
            with_runstate(PAGE_SIZE - 20, 1)
        }),
        Path::floor(EVENTS, || run(&mut guest()?, true)),
        Path::above(EVENTS, "run/has-interrupt", with_vector).with_entry(),
    ]
}
