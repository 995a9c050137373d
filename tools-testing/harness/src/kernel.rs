// SPDX-License-Identifier: GPL-2.0
//! What the kernel under test has of what others lack.
//!
//! The names are those of `rust/kernels/differences`, which finds them in the
//! kernel's source. A test can't find out by looking at what KVM does: that is
//! what it is to judge.

use std::fs::read_to_string;
use std::sync::OnceLock;

/// What a later kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Has {
    /// A vcpu_info must be on 4 bytes.
    VcpuInfoAligned,
    /// A vCPU has no Xen id until the VMM sets one.
    VcpuIdUnset,
    /// A clock that went backwards accounts no time in a runstate, and no more
    /// is stolen than went by.
    RunstateClockBackwards,
    /// To place shared_info leaves the guests' clocks alone.
    SharedInfoLeavesClock,
}

impl Has {
    /// All of them.
    pub const ALL: [Has; 4] = [
        Has::VcpuInfoAligned,
        Has::VcpuIdUnset,
        Has::RunstateClockBackwards,
        Has::SharedInfoLeavesClock,
    ];

    /// Its name in `rust/kernels/differences`.
    pub fn name(self) -> &'static str {
        match self {
            Has::VcpuInfoAligned => "xen_vcpu_info_aligned",
            Has::VcpuIdUnset => "xen_vcpu_id_unset",
            Has::RunstateClockBackwards => "xen_runstate_clock_backwards",
            Has::SharedInfoLeavesClock => "xen_shared_info_leaves_clock",
        }
    }

    /// Those of a list of names. What is about the kernel crate shows in no test.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Vec<Has>, String> {
        let mut all = Vec::new();
        for name in names {
            match Has::ALL.into_iter().find(|has| has.name() == name) {
                Some(has) => all.push(has),
                None if name.is_empty() || name.starts_with("kernel_") => {}
                None => return Err(format!("no test knows of {name}")),
            }
        }
        Ok(all)
    }

    /// Those of a kernel of which only the release is known: all from 7.3 on.
    fn from_release(release: &str) -> Vec<Has> {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit());
        let mut number = || numbers.next().and_then(|n| n.parse::<u32>().ok());
        match (number(), number()) {
            (Some(major), Some(minor)) if (major, minor) >= (7, 3) => Has::ALL.to_vec(),
            _ => Vec::new(),
        }
    }
}

static KERNEL: OnceLock<Vec<Has>> = OnceLock::new();

/// Says what the kernel has; to be called once, before anybody asks.
pub fn set(all: Vec<Has>) {
    KERNEL.set(all).expect("nobody has asked before");
}

/// Whether the kernel has it.
pub fn has(what: Has) -> bool {
    let release = || read_to_string("/proc/sys/kernel/osrelease");
    KERNEL
        .get_or_init(|| Has::from_release(&release().unwrap_or_default()))
        .contains(&what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        let names = ["kernel_param_by_value", "xen_vcpu_id_unset"];
        assert_eq!(Has::from_names(names), Ok(vec![Has::VcpuIdUnset]));
        assert_eq!(Has::from_names([""]), Ok(vec![]));
        assert!(Has::from_names(["xen_vcpu_id_unse"]).is_err());
    }

    #[test]
    fn releases_are_told_apart() {
        for release in ["7.2.12+deb13-amd64", "6.12.1", "", "x"] {
            assert_eq!(Has::from_release(release), []);
        }
        for release in ["7.3.4+deb13-rt-amd64", "7.3-rc1", "7.10.0", "8.0"] {
            assert_eq!(Has::from_release(release), Has::ALL);
        }
    }
}
