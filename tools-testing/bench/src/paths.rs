// SPDX-License-Identifier: GPL-2.0
//! What is measured: ways into KVM's Xen code, each with a floor, which is the same way with nothing
//! to do at its end.

mod attr;
pub mod growth;
mod hypercall;
mod irqfd;
mod life;
mod ports;
mod run;
mod send;
mod timer;

use harness::outcome::Outcome;
use protocol::{Cost, Server};

use crate::sample::Samples;

/// A way into KVM's Xen code.
pub struct Path {
    /// Unique.
    pub name: String,
    /// The name of its floor; `None` for one.
    pub floor: Option<&'static str>,
    /// How many functions that the livepatch replaces KVM enters that it does not on the floor.
    pub entries: u64,
    /// Makes some calls, on a VM of its own.
    pub measure: Box<dyn Fn() -> Outcome<Samples>>,
}

impl Path {
    /// A path above a floor.
    fn above(
        floor: &'static str,
        name: impl Into<String>,
        measure: impl Fn() -> Outcome<Samples> + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            floor: Some(floor),
            entries: 0,
            measure: Box::new(measure),
        }
    }

    /// The same, of a floor that does not go through one function of those that are replaced.
    fn with_entry(self) -> Self {
        Self { entries: 1, ..self }
    }

    /// What it has cost.
    pub fn cost(&self, server: Server, ticks: u64) -> Cost {
        Cost {
            floor: self.floor.map(str::to_owned),
            entries: self.entries,
            ..Cost::alone(&self.name, server, ticks)
        }
    }

    /// A floor.
    fn floor(name: impl Into<String>, measure: impl Fn() -> Outcome<Samples> + 'static) -> Self {
        Self {
            name: name.into(),
            floor: None,
            entries: 0,
            measure: Box::new(measure),
        }
    }
}

/// All of them; a floor comes before what is above it.
pub fn all() -> Vec<Path> {
    [
        send::paths(),
        irqfd::paths(),
        hypercall::paths(),
        timer::paths(),
        run::paths(),
        ports::paths(),
        attr::paths(),
        life::paths(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::all;

    #[test]
    fn each_floor_is_there_once_and_first() {
        let paths = all();
        for (at, path) in paths.iter().enumerate() {
            let before: Vec<_> = paths[..at].iter().map(|path| path.name.as_str()).collect();
            assert!(!before.contains(&path.name.as_str()), "{}", path.name);
            if let Some(floor) = path.floor {
                assert!(before.contains(&floor), "{floor}");
            }
        }
    }
}
