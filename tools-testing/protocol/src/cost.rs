// SPDX-License-Identifier: GPL-2.0
//! What the benchmark tells: a line of its output for each run of each path.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Who serves a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Server {
    /// C, called as it is.
    C,
    /// C, called through a livepatch that replaces the same functions as ours.
    Detour,
    /// Ours.
    Rust,
}

impl Server {
    /// All, in the order in which they serve.
    pub const ALL: [Server; 3] = [Server::C, Server::Detour, Server::Rust];
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Server::C => "C",
            Server::Detour => "C behind a livepatch",
            Server::Rust => "Rust",
        })
    }
}

/// What one call cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// The path that the call took.
    pub path: String,
    /// The path that does nothing but enter and leave in the same way; `None` for such a path.
    pub floor: Option<String>,
    /// How many functions that our livepatch replaces KVM enters on it that it does not on the
    /// floor.
    pub entries: u64,
    /// Who served it.
    pub server: Server,
    /// By the time stamp counter: the median of some calls.
    pub ticks: u64,
}
