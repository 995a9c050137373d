// SPDX-License-Identifier: GPL-2.0
//! Xen guests that QEMU and Linux set up in other ways than the usual one: those that QEMU itself
//! tests its Xen support by.

use super::{Chosen, Facts, Machine, Test, Wanted};
use crate::parts::{Parts, Setup, GUEST_LIMIT_S, VECTOR};
use anyhow::Result;
use protocol::{Action, Phase, Side};

/// The guest has 256 MiB, and QEMU some.
const MEMORY_MIB: u32 = 1536;

/// The guest's vCPUs.
const CPUS: u32 = 2;

/// Interrupts of devices by event channels.
const PIRQ: &str = "xen-pirq";

/// Upcalls by an interrupt of the platform device.
const PLATFORM: &str = "xen-platform-pci";

/// Each way, and its name. Whether `xen-vapic` is offered does not show in a guest that has no device
/// with MSIs.
const SETUPS: [(&str, Setup); 6] = [
    ("no-vapic", by_vector("")),
    ("no-msi", by_vector("pci=nomsi")),
    ("no-ioapic", by_vector("noapic pci=nomsi")),
    ("no-vector", by_platform_device("xen_no_vector_callback")),
    (
        "no-vector-no-msi",
        by_platform_device("xen_no_vector_callback pci=nomsi"),
    ),
    (
        "no-vector-no-ioapic",
        by_platform_device("xen_no_vector_callback noapic"),
    ),
];

/// With upcalls by a vector.
const fn by_vector(append: &'static str) -> Setup {
    Setup {
        append,
        has_vapic: false,
        interrupts: &[(VECTOR, true), (PIRQ, true)],
    }
}

/// With upcalls by an interrupt of the platform device, and no others by event channels.
const fn by_platform_device(append: &'static str) -> Setup {
    Setup {
        append,
        has_vapic: false,
        interrupts: &[(VECTOR, false), (PIRQ, false), (PLATFORM, true)],
    }
}

/// The machine that they run in, one after the other.
pub struct GuestSetups;

fn test(name: &str) -> String {
    format!("guest/xen-hvm-{name}")
}

impl Machine for GuestSetups {
    fn name(&self) -> &str {
        "xen-guest-setups"
    }

    fn tests(&self, _: &Facts) -> Vec<Test> {
        SETUPS
            .map(|(name, _)| Test::on(Side::Rust, test(name)))
            .into()
    }

    fn prepare(&self, chosen: &Chosen, parts: &Parts) -> Result<Wanted> {
        let mut wanted = Wanted::new(parts, MEMORY_MIB)?;
        for (name, setup) in &SETUPS {
            let id = test(name);
            if !chosen.has(&id) {
                continue;
            }
            let phases = vec![Phase {
                side: Side::Rust,
                rounds: 2,
            }];
            let guest =
                parts.xen_guest_set_up(&mut wanted.initramfs, CPUS, phases, false, setup)?;
            wanted.step(id, None, GUEST_LIMIT_S, Action::Guest(guest));
        }
        Ok(wanted)
    }
}
