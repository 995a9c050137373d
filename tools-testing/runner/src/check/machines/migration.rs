// SPDX-License-Identifier: GPL-2.0
//! A Xen guest that moves from one QEMU to another, and from one side to the other.

use super::{Chosen, Facts, Machine, Test, Wanted};
use crate::parts::Parts;
use anyhow::Result;
use protocol::{Action, MigrateAction, Side};

/// Two guests of 256 MiB never run at a time, but what a side has saved takes 100.
const MEMORY_MIB: u32 = 1536;

/// The guest's vCPUs.
const CPUS: u32 = 2;

/// Seconds for a guest's boot, and its way from one QEMU to another.
const LIMIT_S: u64 = 300;

/// Rounds of the guest's work after it has moved.
const ROUNDS: u32 = 2;

/// From one side to the other, each side's saved guest moving twice. Fewest changes of the side.
const MOVES: [(Side, Side); 4] = [
    (Side::C, Side::C),
    (Side::C, Side::Rust),
    (Side::Rust, Side::Rust),
    (Side::Rust, Side::C),
];

/// The machine.
pub struct Migration;

fn name((from, to): (Side, Side)) -> String {
    format!("guest/migration/{}-to-{}", from.name(), to.name())
}

impl Machine for Migration {
    fn name(&self) -> &str {
        "xen-guest-migration"
    }

    fn tests(&self, facts: &Facts) -> Vec<Test> {
        let there_is = |side: &Side| facts.sides().contains(side);
        let moves = MOVES
            .iter()
            .filter(|(from, to)| there_is(from) && there_is(to));
        moves
            .map(|&(from, to)| Test {
                name: name((from, to)),
                wants_module: (from, to) != (Side::C, Side::C),
                wants_others: false,
            })
            .collect()
    }

    fn prepare(&self, chosen: &Chosen, parts: &Parts) -> Result<Wanted> {
        let mut wanted = Wanted::new(parts, MEMORY_MIB)?;
        let action = parts.migration(&mut wanted.initramfs, CPUS)?;
        for (from, to) in MOVES {
            let id = name((from, to));
            if chosen.has(&id) {
                let rounds = ROUNDS;
                let action = MigrateAction {
                    from,
                    to,
                    rounds,
                    ..action.clone()
                };
                wanted.step(id, None, LIMIT_S, Action::Migrate(action));
            }
        }
        Ok(wanted)
    }
}
