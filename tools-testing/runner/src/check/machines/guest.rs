// SPDX-License-Identifier: GPL-2.0
//! A Xen guest, in a machine of its own.

use super::{debug_memory_mib, Chosen, Facts, Machine, Test, Wanted, Which};
use crate::parts::{Parts, GUEST_LIMIT_S};
use crate::paths::Kind;
use anyhow::Result;
use protocol::{Action, Phase, Side};

/// The guest has 256 MiB, and QEMU some.
const MEMORY_MIB: u32 = 1536;

/// A guest.
pub struct Guest {
    /// Names the machine.
    pub machine: &'static str,
    /// The test.
    pub test: &'static str,
    /// The guest's vCPUs.
    pub smp: u32,
    /// Who serves it, one after the other, while it runs.
    pub sides: &'static [Side],
    /// Rounds of the guest's work in each phase.
    pub rounds: u32,
    /// The machine's kernel. The guest's is a stock one.
    pub kind: Kind,
}

impl Machine for Guest {
    fn name(&self) -> &str {
        self.machine
    }

    fn kernel(&self) -> Which {
        Which::Main(self.kind)
    }

    fn tests(&self, facts: &Facts) -> Vec<Test> {
        // Without our module one guest on C is enough.
        let is_wanted = facts.module || self.sides.contains(&Side::C);
        let test = Test {
            name: self.test.into(),
            wants_module: facts.module,
            wants_others: false,
        };
        is_wanted.then_some(test).into_iter().collect()
    }

    fn prepare(&self, _: &Chosen, parts: &Parts) -> Result<Wanted> {
        let more = debug_memory_mib(parts);
        let mut wanted = Wanted::new(parts, MEMORY_MIB + more)?;
        let sides = match (parts.has_module(), parts.kernel.is_rt()) {
            (false, _) => &[Side::C],
            // It sets timers, by which C hangs the machine there (c-bugs.rst).
            (true, true) => &[Side::Rust],
            (true, false) => self.sides,
        };
        let rounds = self.rounds;
        let phases = sides.iter().map(|&side| Phase { side, rounds }).collect();
        let guest = parts.xen_guest(&mut wanted.initramfs, self.smp, phases, true)?;
        let limit_s = GUEST_LIMIT_S * parts.kernel.patience();
        wanted.step(self.test, None, limit_s, Action::Guest(guest));
        Ok(wanted)
    }
}

/// A guest of two vCPUs at work, taken over and handed back as often as is asked for.
pub struct Takeover;

/// Its test: beside those of a storm.
const TAKEOVER: &str = "takeover/xen-hvm";

/// Seconds that one time there and back may take, with an emulator under load.
const SWITCH_LIMIT_S: u64 = 90;

impl Machine for Takeover {
    fn name(&self) -> &str {
        "xen-guest-takeover"
    }

    fn tests(&self, facts: &Facts) -> Vec<Test> {
        let test = Test::on(Side::Rust, TAKEOVER.to_owned());
        facts.times.then_some(test).into_iter().collect()
    }

    fn prepare(&self, _: &Chosen, parts: &Parts) -> Result<Wanted> {
        let mut wanted = Wanted::new(parts, MEMORY_MIB)?;
        let times = parts.random.times.unwrap_or(1);
        let there_and_back = [Side::Rust, Side::C].map(|side| Phase { side, rounds: 1 });
        let begin = Phase {
            side: Side::C,
            rounds: 1,
        };
        let phases = (0..times).flat_map(|_| there_and_back);
        let phases = std::iter::once(begin).chain(phases).collect();
        let guest = parts.xen_guest(&mut wanted.initramfs, 2, phases, false)?;
        let limit_s = GUEST_LIMIT_S + u64::from(times) * SWITCH_LIMIT_S;
        wanted.step(TAKEOVER, None, limit_s, Action::Guest(guest));
        Ok(wanted)
    }
}
