// SPDX-License-Identifier: GPL-2.0
//! What was measured, and how it is kept and shown.

use crate::accel::Accel;
use anyhow::{Context, Result};
use protocol::{Contention, Cost, Server, GROWTH};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Results {
    /// The kernel's release.
    pub kernel: String,
    /// What ran the machine.
    pub machine: String,
    /// What is counted.
    pub unit: String,
    /// What of this project was measured.
    pub commit: String,
    /// In the order in which they were measured.
    pub paths: Vec<Measured>,
    /// What was counted of many senders at once.
    #[serde(default)]
    pub contention: Vec<Contention>,
}

/// A path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// Its name.
    pub name: String,
    /// That of its floor; `None` for one.
    pub floor: Option<String>,
    /// How many functions that are replaced KVM enters that it does not on the floor.
    pub entries: u64,
    /// What it costs on each side.
    pub costs: BTreeMap<Server, Spread>,
}

/// What some runs of a path cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// The least.
    pub min: u64,
    /// The most.
    pub max: u64,
}

impl Spread {
    /// How far apart they are.
    pub fn width(self) -> u64 {
        self.max - self.min
    }
}

impl Results {
    /// From single costs.
    pub fn new(kernel: &str, accel: Accel, commit: &str, costs: &[Cost]) -> Self {
        let mut paths: Vec<Measured> = Vec::new();
        for cost in costs {
            let at = match paths.iter().position(|path| path.name == cost.path) {
                Some(at) => at,
                None => {
                    paths.push(Measured {
                        name: cost.path.clone(),
                        floor: cost.floor.clone(),
                        entries: cost.entries,
                        costs: BTreeMap::new(),
                    });
                    paths.len() - 1
                }
            };
            let spread = paths[at].costs.entry(cost.server).or_insert(Spread {
                min: cost.ticks,
                max: cost.ticks,
            });
            spread.min = spread.min.min(cost.ticks);
            spread.max = spread.max.max(cost.ticks);
        }
        Results {
            kernel: kernel.to_owned(),
            machine: accel.to_string(),
            unit: match accel {
                Accel::Kvm => "ticks of the time stamp counter",
                Accel::Tcg | Accel::Counted | Accel::Parallel => "instructions",
            }
            .to_owned(),
            commit: commit.to_owned(),
            paths,
            contention: Vec::new(),
        }
    }

    /// From a file.
    pub fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        serde_json::from_str(&text).with_context(|| format!("{}: no results", file.display()))
    }

    /// To a file.
    pub fn write(&self, file: &Path) -> Result<()> {
        if let Some(directory) = file.parent() {
            fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
        }
        let text = serde_json::to_string_pretty(self)?;
        fs::write(file, text + "\n").with_context(|| file.display().to_string())
    }

    /// A name for the file.
    pub fn file_name(&self) -> String {
        let unit = match self.unit.as_str() {
            "instructions" => "instructions",
            _ => "ticks",
        };
        format!("{}-{}-{unit}.json", self.commit, self.kernel)
    }

    /// The path of that name.
    pub fn path(&self, name: &str) -> Option<&Measured> {
        self.paths.iter().find(|path| path.name == name)
    }

    /// The least that the path costs.
    pub fn cost(&self, path: &Measured, server: Server) -> Option<u64> {
        path.costs.get(&server).map(|spread| spread.min)
    }

    /// What it costs above its floor, without what livepatch adds. The floor is C's for all: of Rust,
    /// C behind a livepatch, if that was measured.
    pub fn above(&self, path: &Measured, server: Server) -> Option<u64> {
        let floor = self.path(path.floor.as_deref()?)?;
        let below = match server {
            Server::C => self.cost(floor, server)?,
            Server::Detour | Server::Rust => {
                let floor = self
                    .cost(floor, Server::Detour)
                    .or_else(|| self.cost(floor, server))?;
                floor + self.livepatch().unwrap_or(0) * path.entries
            }
        };
        Some(self.cost(path, server)?.saturating_sub(below))
    }

    /// What livepatch adds to a path.
    pub fn livepatch_of(&self, path: &Measured) -> Option<u64> {
        let c = self.cost(path, Server::C)?;
        Some(self.cost(path, Server::Detour)?.saturating_sub(c))
    }

    /// What livepatch adds to a call of one function: the least that is seen on a floor.
    fn livepatch(&self) -> Option<u64> {
        let floors = self.paths.iter().filter_map(|path| path.floor.as_deref());
        let added = floors.filter_map(|floor| self.livepatch_of(self.path(floor)?));
        added.filter(|&added| added != 0).min()
    }

    /// Rust's part of C's cost above the floor, if that is something.
    pub fn ratio_above(&self, path: &Measured) -> Option<f64> {
        let above = self.above(path, Server::C)?;
        if above < self.cost(path, Server::C)? / HUNDRED {
            return None;
        }
        ratio(self.above(path, Server::Rust)?, above)
    }

    /// The geometric mean of these, of the paths whose names begin so; and how many there are.
    pub fn mean(&self, beginnings: &[&str]) -> Option<(f64, usize)> {
        let named = |path: &&Measured| beginnings.iter().any(|name| path.name.starts_with(name));
        let ratios = self.paths.iter().filter(named);
        let ratios: Vec<f64> = ratios.filter_map(|path| self.ratio_above(path)).collect();
        let sum: f64 = ratios.iter().map(|ratio| ratio.ln()).sum();
        let count = ratios.len();
        (count != 0).then(|| ((sum / count as f64).exp(), count))
    }

    /// Rust's part of C's whole cost.
    pub fn ratio(&self, path: &Measured) -> Option<f64> {
        ratio(self.cost(path, Server::Rust)?, self.cost(path, Server::C)?)
    }

    /// The same without what livepatch adds.
    pub fn ratio_without_livepatch(&self, path: &Measured) -> Option<f64> {
        let rust = self.cost(path, Server::Rust)?;
        let rust = rust.saturating_sub(self.livepatch_of(path)?);
        ratio(rust, self.cost(path, Server::C)?)
    }

    /// What to say of all: how delivery compares, and which calls cost a user more than in C.
    pub fn summary(&self) -> Vec<String> {
        let mut said = Vec::new();
        if let Some((mean, count)) = self.mean(&DELIVERIES) {
            said.push(format!(
                "Of the {count} paths that deliver events Rust's part of C's cost above the floor is \
                 {mean:.2}, as a geometric mean."
            ));
        }
        let dearer = |ratio: &dyn Fn(&Measured) -> Option<f64>| -> Vec<&str> {
            let paths = self.paths.iter();
            let paths = paths.filter(|path| !path.name.starts_with(GROWTH));
            let paths = paths.filter(|path| ratio(path).is_some_and(|ratio| ratio > ABOUT_AS_C));
            paths.map(|path| path.name.as_str()).collect()
        };
        let all = dearer(&|path| self.ratio(path)).len();
        let own = dearer(&|path| self.ratio_without_livepatch(path));
        said.push(format!(
            "The whole call costs more than {ABOUT_AS_C} of C's on {all} paths; without what livepatch \
             takes, {}.",
            match own.as_slice() {
                [] => "on none".to_owned(),
                own => format!("on {}: {}", own.len(), own.join(", ")),
            }
        ));
        said
    }
}

/// What is less than one part in so many is not compared.
const HUNDRED: u64 = 100;

/// What part of C's whole cost a user does not notice.
const ABOUT_AS_C: f64 = 1.02;

/// The paths that deliver events.
const DELIVERIES: [&str; 5] = [
    "send/",
    "irqfd/",
    "hypercall/send-",
    "hypercall/set_timer_op-past",
    "timer/",
];

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole != 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Results of one floor and one path above it, on C and Rust.
    pub fn results(floor: u64, c: u64, rust: &[u64]) -> Results {
        let cost = |path: &str, server, ticks| Cost {
            path: path.into(),
            floor: (path != "floor").then(|| "floor".into()),
            entries: 0,
            server,
            ticks,
        };
        let mut costs = vec![
            cost("floor", Server::C, floor),
            cost("floor", Server::Rust, floor),
            cost("path", Server::C, c),
        ];
        costs.extend(rust.iter().map(|&ticks| cost("path", Server::Rust, ticks)));
        Results::new("7.2", Accel::Counted, "abc", &costs)
    }

    #[test]
    fn above_the_floor() {
        let results = results(100, 300, &[255, 250, 251]);
        let path = results.path("path").unwrap();
        assert_eq!(results.above(path, Server::Rust), Some(150));
        assert_eq!(results.ratio_above(path), Some(0.75));
        assert_eq!(path.costs[&Server::Rust].width(), 5);
        let floor = results.path("floor").unwrap();
        assert_eq!(results.above(floor, Server::C), None);
    }

    #[test]
    fn a_file_has_it_all() {
        let results = results(100, 300, &[255]);
        let text = serde_json::to_string(&results).unwrap();
        assert_eq!(serde_json::from_str::<Results>(&text).unwrap(), results);
    }
}
