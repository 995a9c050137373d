// SPDX-License-Identifier: GPL-2.0

//! What there is one of in a kernel: its clocks, its memory, and the module.

use std::cell::Cell;

/// Clocks that stand still, parameters, and what goes wrong.
#[derive(Clone, Copy)]
pub(crate) struct Host {
    /// The guest's system time, as KVM computes it.
    pub(crate) kvmclock: u64,
    /// `CLOCK_MONOTONIC`.
    pub(crate) monotonic: i64,
    /// The host's TSC at that moment.
    pub(crate) tsc: u64,
    /// How guests are told to scale their TSC, where that is their only clock.
    pub(crate) told: Option<(u32, i8)>,
    /// `xen_poll_timeout`.
    pub(crate) poll_timeout_is_absolute: bool,
    /// Whether C may be serving VMs still, or again.
    pub(crate) in_transition: bool,
    /// Whether there is no memory for what can do without.
    pub(crate) out_of_memory: bool,
    /// Whether what is freed is leaked.
    pub(crate) leaks: bool,
}

impl Host {
    /// As tests have it that say nothing of it.
    pub(crate) const DEFAULT: Self = Self {
        kvmclock: 1,
        monotonic: 1,
        tsc: 1,
        told: None,
        poll_timeout_is_absolute: false,
        in_transition: false,
        out_of_memory: false,
        leaks: false,
    };

    /// The guest's TSC at the present.
    pub(crate) const fn guest_tsc(host_tsc: u64) -> u64 {
        host_tsc + 1000
    }

    /// The host that the test has.
    pub(crate) fn current() -> Self {
        CURRENT.get()
    }

    /// Has the test run on this one.
    pub(crate) fn set(self) {
        CURRENT.set(self);
    }
}

thread_local! {
    // All threads of a test are on one of the system's.
    static CURRENT: Cell<Host> = const { Cell::new(Host::DEFAULT) };
}
