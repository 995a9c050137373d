// SPDX-License-Identifier: GPL-2.0
//! What the benchmark tells: a line of its output for each run of each path, and for each crowd of
//! senders.

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

/// How the names of those paths begin that are measured with more and more of something, which is what
/// they end with: `growth/PATH/4,095 ports`.
pub const GROWTH: &str = "growth/";

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

impl Cost {
    /// That of a path without a floor.
    pub fn alone(path: impl Into<String>, server: Server, ticks: u64) -> Self {
        Self {
            path: path.into(),
            floor: None,
            entries: 0,
            server,
            ticks,
        }
    }
}

/// Who sends events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sent {
    /// The VMM, by `KVM_XEN_HVM_EVTCHN_SEND`.
    Ioctl,
    /// The VMM, by irqfds.
    Irqfd,
    /// Other processes, by irqfds of the VMM's.
    OtherProcess,
}

/// What goes on beside senders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Beside {
    /// Ports are updated, deassigned and assigned.
    Ports,
    /// The page of shared_info is taken away.
    Pages,
}

/// Senders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crowd {
    /// Who they are.
    pub sent: Sent,
    /// What goes on beside them.
    pub beside: Beside,
    /// How many they are.
    pub senders: u32,
    /// To how many ports they send.
    pub ports: u32,
}

/// What was counted while a crowd sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contention {
    /// Who sent.
    pub crowd: Crowd,
    /// Who served.
    pub server: Server,
    /// Events sent.
    pub events: u64,
    /// Changes beside.
    pub changes: u64,
    /// How often the workqueue had to deliver what an irqfd could not.
    pub bounced: u64,
    /// How often shared_info had to be mapped.
    pub refreshed: u64,
    /// How often a lock was waited for.
    pub waited: u64,
}
