// SPDX-License-Identifier: GPL-2.0
//! Which of the two implementations is under test.

use std::fs::read_to_string;

use clap::ValueEnum;

/// Where the livepatch says that it is on.
const ENABLED: &str = "/sys/kernel/livepatch/kvm_xen_rs/enabled";

/// Which code serves KVM's Xen guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Side {
    /// The kernel's own.
    C,
    /// The livepatch.
    Rust,
}

impl Side {
    /// What this machine has now.
    pub fn detect() -> Self {
        match read_to_string(ENABLED) {
            Ok(text) if text.trim() == "1" => Side::Rust,
            _ => Side::C,
        }
    }
}
