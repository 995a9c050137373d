// SPDX-License-Identifier: GPL-2.0
//! A Xen guest, in a machine of its own.

use super::{Chosen, Facts, Machine, Test, Wanted};
use crate::parts::{Parts, GUEST_LIMIT_S};
use anyhow::Result;
use protocol::{Action, Phase, Side};

/// Rounds of the guest's work in each phase.
const ROUNDS: u32 = 5;

const TEST: &str = "guest/xen-hvm";

/// The machine.
pub struct Guest;

impl Machine for Guest {
    fn name(&self) -> &'static str {
        "xen-guest"
    }

    fn tests(&self, facts: &Facts) -> Vec<Test> {
        vec![Test {
            name: TEST.into(),
            wants_module: facts.module,
            wants_others: false,
        }]
    }

    fn prepare(&self, _: &Chosen, parts: &Parts) -> Result<Wanted> {
        let mut wanted = Wanted::new(parts, 1536)?;
        let sides: &[Side] = match parts.has_module() {
            true => &[Side::Rust, Side::C, Side::Rust],
            false => &[Side::C],
        };
        let rounds = ROUNDS;
        let phases = sides.iter().map(|&side| Phase { side, rounds }).collect();
        let guest = parts.xen_guest(&mut wanted.initramfs, phases, true)?;
        wanted.step(TEST, None, GUEST_LIMIT_S, Action::Guest(guest));
        Ok(wanted)
    }
}
