// SPDX-License-Identifier: GPL-2.0
//! An irqfd whose line leads to a port: `kvm_xen_set_evtchn_fast()`, on the task that writes to the
//! eventfd.

use vmm_sys_util::eventfd::{EventFd, EFD_NONBLOCK};

use harness::abi::Abi;
use harness::irqfd::Route;
use harness::machine::Machine;
use harness::outcome::Outcome;

use super::send::{Before, PORT};
use super::Path;
use crate::sample::{Samples, MANY};

const FLOOR: &str = "irqfd/eventfd-alone";
const GSI: u32 = 40;

/// Events of an irqfd, for a vCPU by its number.
pub fn signal(machine: &Machine, vcpu: u32, before: Before) -> Outcome<Samples> {
    machine.vm.set_routes(&[Route::new(GSI, PORT, vcpu)])?;
    let irqfd = machine.vm.irqfd(GSI)?;
    let samples = Samples::of(MANY, || before.set(machine, 0), || irqfd.signal());
    irqfd.finish(&machine.vm)?;
    samples
}

/// Events of an eventfd that nobody waits for.
fn eventfd_alone() -> Outcome<Samples> {
    let eventfd = EventFd::new(EFD_NONBLOCK)?;
    Samples::of(MANY, || Ok(()), || Ok(eventfd.write(1)?))
}

pub fn paths() -> Vec<Path> {
    let above = |name: &str, before: Before| {
        let measure = move || signal(&Machine::new(Abi::Bits64)?, 0, before);
        Path::above(FLOOR, format!("irqfd/{name}"), measure).with_entry()
    };
    vec![
        // Whatever is refused later is so in one order by C, and in another by Rust.
        Path::floor(FLOOR, eventfd_alone),
        above("coalesced", Before::Pending),
        above("masked", Before::Masked),
        above("raised", Before::Clear),
    ]
}
