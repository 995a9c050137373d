// SPDX-License-Identifier: GPL-2.0
//! An irqfd whose line leads to a port: `kvm_xen_set_evtchn_fast()`, on the task that writes to the
//! eventfd.

use selftests::abi::Abi;
use selftests::harness::irqfd::Route;
use selftests::harness::machine::Machine;
use selftests::harness::outcome::Outcome;

use super::send::{Before, PORT};
use super::Path;
use crate::sample::{Samples, MANY};

const FLOOR: &str = "irqfd/rejected";
const GSI: u32 = 40;

/// Events of an irqfd to `port`.
fn signal(port: u32, before: Before) -> Outcome<Samples> {
    let machine = Machine::new(Abi::Bits64)?;
    machine.vm.set_routes(&[Route::new(GSI, port, 0)])?;
    let irqfd = machine.vm.irqfd(GSI)?;
    let samples = Samples::of(MANY, || before.set(&machine, 0), || irqfd.signal());
    irqfd.finish(&machine.vm)?;
    samples
}

pub fn paths() -> Vec<Path> {
    let above = |name: &str, before| {
        Path::above(FLOOR, format!("irqfd/{name}"), move || signal(PORT, before))
    };
    vec![
        // The guest has no such port.
        Path::floor(FLOOR, || signal(Abi::Bits64.ports(), Before::Clear)),
        above("coalesced", Before::Pending),
        above("masked", Before::Masked),
        above("raised", Before::Clear),
    ]
}
