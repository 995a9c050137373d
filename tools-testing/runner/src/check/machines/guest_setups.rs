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

/// Each way, and its name.
const SETUPS: [(&str, Setup); 6] = [
    (
        "no-vapic",
        Setup {
            append: "",
            has_vapic: false,
            interrupts: &[(VECTOR, true), (PIRQ, true)],
        },
    ),
    (
        "no-msi",
        Setup {
            append: "pci=nomsi",
            has_vapic: false,
            interrupts: &[(VECTOR, true), (PIRQ, true)],
        },
    ),
    (
        "no-ioapic",
        Setup {
            append: "noapic pci=nomsi",
            has_vapic: false,
            interrupts: &[(VECTOR, true), (PIRQ, true)],
        },
    ),
    (
        "no-vector",
        Setup {
            append: "xen_no_vector_callback",
            has_vapic: false,
            interrupts: &[(VECTOR, false), (PIRQ, false), (PLATFORM, true)],
        },
    ),
    (
        "no-vector-no-msi",
        Setup {
            append: "xen_no_vector_callback pci=nomsi",
            has_vapic: false,
            interrupts: &[(VECTOR, false), (PIRQ, false), (PLATFORM, true)],
        },
    ),
    (
        "no-vector-no-ioapic",
        Setup {
            append: "xen_no_vector_callback noapic",
            has_vapic: false,
            interrupts: &[(VECTOR, false), (PIRQ, false), (PLATFORM, true)],
        },
    ),
];

/// The machine that they run in, one after the other.
pub struct GuestSetups;

fn test(name: &str) -> String {
    format!("guest/xen-hvm-{name}")
}

impl Machine for GuestSetups {
    fn name(&self) -> &str {
        "xen-guest-setups"
    }

    fn tests(&self, facts: &Facts) -> Vec<Test> {
        let all = SETUPS.iter().filter(|_| facts.module);
        all.map(|(name, _)| Test::on(Side::Rust, test(name)))
            .collect()
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
