// SPDX-License-Identifier: GPL-2.0
//! Who serves Xen guests now, by what the livepatch says.

use std::fs;
use std::path::Path;

/// Where the livepatch is.
pub const LIVEPATCH: &str = "/sys/kernel/livepatch/kvm_xen_rs";

/// Who serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The module.
    Rust,
    /// The module some tasks, C the others.
    Both,
    /// C alone, with the module still there.
    C,
    /// C alone: there is no livepatch.
    NotThere,
}

impl Side {
    /// As of now.
    pub fn now() -> Self {
        let flag = |path: &str| fs::read_to_string(Path::new(LIVEPATCH).join(path)).ok();
        Self::from(flag("enabled"), flag("transition"), flag("kvm/patched"))
    }

    fn from(enabled: Option<String>, transition: Option<String>, patched: Option<String>) -> Self {
        let is = |flag: Option<String>| flag.is_some_and(|flag| flag.trim() == "1");
        match (enabled.is_some(), is(transition), is(enabled), is(patched)) {
            (false, ..) => Side::NotThere,
            (_, true, ..) => Side::Both,
            (.., true, true) => Side::Rust,
            _ => Side::C,
        }
    }

    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Side::Rust => "rust",
            Side::Both => "both",
            Side::C | Side::NotThere => "c",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_the_flags() {
        let side = |enabled: &str, transition: &str, patched: &str| {
            let flag = |text: &str| (!text.is_empty()).then(|| format!("{text}\n"));
            Side::from(flag(enabled), flag(transition), flag(patched))
        };
        assert_eq!(side("", "", ""), Side::NotThere);
        assert_eq!(side("1", "1", "1"), Side::Both);
        assert_eq!(side("0", "1", "1"), Side::Both);
        assert_eq!(side("1", "0", "1"), Side::Rust);
        assert_eq!(side("1", "0", "0"), Side::C);
        assert_eq!(side("0", "0", "1"), Side::C);
    }
}
