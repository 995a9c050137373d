// SPDX-License-Identifier: GPL-2.0
//! C against Rust, by random sequences that both have to answer in the same way.

use super::{Chosen, Facts, Machine, Test, Wanted};
use crate::parts::Parts;
use anyhow::Result;
use protocol::{Action, Side};

/// The machine.
pub struct Fuzz {
    /// How many sequences, in place of as many as the program thinks fit.
    pub sequences: Option<u32>,
}

const GROUP: &str = "fuzz";

/// The cases that the program tells of.
const CASES: [&str; 4] = [
    "c_and_rust_show_the_same",
    "no_sequence_is_lost",
    "little_differs_by_chance",
    "nothing_flickers_on_rust_alone",
];

/// Seconds for as many sequences as `make check` runs, where an emulator has a processor to share.
const LIMIT_S: u64 = 1800;

impl Machine for Fuzz {
    fn name(&self) -> &str {
        "fuzz"
    }

    /// One: what runs at the same time differs from time to time.
    fn smp(&self) -> u32 {
        1
    }

    /// Each VM has a directory in debugfs, and waits for grace periods, which takes most of the
    /// time of a short one. A time stamp counter that becomes unstable would show.
    fn append(&self) -> &'static str {
        "debugfs=off rcupdate.rcu_expedited=1 tsc=reliable"
    }

    fn tests(&self, _: &Facts) -> Vec<Test> {
        CASES
            .map(|case| Test::on(Side::Rust, format!("{GROUP}/{case}")))
            .into()
    }

    fn prepare(&self, _: &Chosen, parts: &Parts) -> Result<Wanted> {
        let mut wanted = Wanted::new(parts, 1024)?;
        let exec = parts.fuzz(&mut wanted.initramfs, self.sequences)?;
        let limit_s = LIMIT_S + parts.random.minutes.unwrap_or(0) * 60;
        // It changes the side itself.
        wanted.step(GROUP, None, limit_s, Action::Exec(exec));
        Ok(wanted)
    }
}
