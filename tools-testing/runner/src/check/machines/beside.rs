// SPDX-License-Identifier: GPL-2.0
//! The machines of kernels beside the one that everything is run on: a part of the same tests, with
//! the kernel's name before theirs.

use super::fuzz::Fuzz;
use super::guest::Guest;
use super::short::Short;
use super::storm::{HostCpu, Storms, Takeover, MANY_VCPUS};
use super::{Chosen, Facts, Machine, Test, Wanted, Which};
use crate::parts::Parts;
use crate::paths::{Kernel, Kind};
use anyhow::Result;
use protocol::Side;

/// The guest that each of them boots.
const GUEST: Guest = Guest {
    machine: "xen-guest",
    test: "guest/xen-hvm",
    smp: 2,
    sides: &[Side::Rust, Side::C, Side::Rust],
    rounds: 2,
    kind: Kind::Stock,
};

/// The sequences that each of them is tried with.
const FUZZ: Fuzz = Fuzz {
    sequences: Some(2000),
};

/// What those without `PREEMPT_RT` boot, those that take longest first.
const USUAL: [&dyn Machine; 3] = [&Short, &FUZZ, &GUEST];

/// What those under `PREEMPT_RT` boot, where a lock that is held for a moment may be held for long.
/// Most of what the first one does is to wait for grace periods.
const RT: [&dyn Machine; 6] = [
    &FUZZ,
    &Short,
    &Takeover { kind: Kind::Stock },
    &Storms { kind: Kind::Stock },
    &GUEST,
    &HostCpu,
];

/// The machines of a group of kernels, each with its name.
pub fn beside(kernels: &[(String, Kernel)]) -> Vec<&'static dyn Machine> {
    let mut machines: Vec<&'static dyn Machine> = Vec::new();
    for (index, (name, kernel)) in kernels.iter().enumerate() {
        let own: &[&'static dyn Machine] = if kernel.is_rt() { &RT } else { &USUAL };
        for &machine in own {
            // There for the whole run, as the others are.
            machines.push(Box::leak(Box::new(Beside {
                index,
                kernel: name.clone(),
                name: format!("{name}-{}", machine.name()),
                machine,
            })));
        }
    }
    machines
}

/// A machine on another kernel.
struct Beside {
    index: usize,
    kernel: String,
    name: String,
    machine: &'static dyn Machine,
}

impl Beside {
    fn rename(&self, test: &str) -> String {
        format!("{}/{test}", self.kernel)
    }
}

impl Machine for Beside {
    fn name(&self) -> &str {
        &self.name
    }

    fn klog(&self) -> String {
        self.rename(&self.machine.klog())
    }

    fn kernel(&self) -> Which {
        Which::Beside(self.index)
    }

    fn smp(&self) -> u32 {
        self.machine.smp()
    }

    fn append(&self) -> &'static str {
        self.machine.append()
    }

    fn tests(&self, facts: &Facts) -> Vec<Test> {
        let tests = self.machine.tests(facts).into_iter();
        tests
            .filter(|test| !test.name.ends_with(MANY_VCPUS))
            .map(|test| Test {
                name: self.rename(&test.name),
                ..test
            })
            .collect()
    }

    fn prepare(&self, chosen: &Chosen, parts: &Parts) -> Result<Wanted> {
        let chosen = Chosen(chosen.in_group(&self.kernel));
        let mut wanted = self.machine.prepare(&chosen, parts)?;
        for step in &mut wanted.plan.steps {
            step.id = self.rename(&step.id);
        }
        let expected = wanted.expected.iter_mut().map(|(id, _)| id);
        let failed = wanted.failed.iter_mut().map(|(id, _)| id);
        for id in expected.chain(failed) {
            *id = self.rename(id);
        }
        Ok(wanted)
    }
}
