// SPDX-License-Identifier: GPL-2.0
//! Machines refuse our module: what a user sees then, and that nothing has changed. The machine is
//! locked down in the end, so that it is of no use to other tests.

use super::{Chosen, Facts, Machine, Test, Wanted, LIFECYCLE_LIMIT_S};
use crate::parts::Parts;
use anyhow::Result;
use protocol::{Action, Side};

const GROUP: &str = "lifecycle/refused";

/// The cases, as the program names them.
const CASES: [&str; 5] = [
    "another-kernel",
    "in-transition",
    "not-beside-another",
    "locked-down",
    "unsigned",
];

/// The machine.
pub struct Refused;

impl Machine for Refused {
    fn name(&self) -> &str {
        "refused"
    }

    fn tests(&self, facts: &Facts) -> Vec<Test> {
        let cases = CASES.iter().filter(|_| facts.module);
        cases
            .map(|case| Test::on(Side::Rust, format!("{GROUP}/{case}")))
            .collect()
    }

    fn prepare(&self, chosen: &Chosen, parts: &Parts) -> Result<Wanted> {
        let mut wanted = Wanted::new(parts, 1024)?;
        let names = chosen.in_group(GROUP);
        let exec = parts.refused(&mut wanted.initramfs, &names)?;
        // It inserts the module itself.
        let side = Some(Side::C);
        wanted.step(GROUP, side, 2 * LIFECYCLE_LIMIT_S, Action::Exec(exec));
        Ok(wanted)
    }
}
