// SPDX-License-Identifier: GPL-2.0
//! Upstream's tests of what Xen's code is beside: guests that are none of Xen's, on a KVM with Rust
//! in it. Provisioning builds those of Xen's; these are built here, of the same source.

use super::{Chosen, Facts, Machine, Test, Wanted, UPSTREAM_LIMIT_S};
use crate::build_steps;
use crate::parts::Parts;
use anyhow::Result;
use protocol::{Action, ExecAction, Output, Side};

const GROUP: &str = "neighbours";

/// Tests, by where upstream has them.
const TESTS: [&str; 7] = [
    "irqfd_test",
    "kvm_binary_stats_test",
    "kvm_create_max_vcpus",
    "steal_time",
    "x86/hyperv_extended_hypercalls",
    "x86/kvm_clock_test",
    "x86/userspace_msr_exit_test",
];

/// The machine.
pub struct Neighbours;

/// What a test is called here.
fn name(test: &str) -> String {
    format!("{GROUP}/{}", test.trim_start_matches("x86/"))
}

impl Machine for Neighbours {
    fn name(&self) -> &str {
        GROUP
    }

    fn tests(&self, facts: &Facts) -> Vec<Test> {
        let tests = TESTS.iter().filter(|_| facts.module);
        tests.map(|test| Test::on(Side::Rust, name(test))).collect()
    }

    fn prepare(&self, chosen: &Chosen, parts: &Parts) -> Result<Wanted> {
        let mut wanted = Wanted::new(parts, 1536)?;
        let tests = TESTS.into_iter().filter(|test| chosen.has(&name(test)));
        let tests: Vec<_> = tests.collect();
        let objects = build_steps::upstream(parts.paths, &parts.kernel, &tests)?;
        for test in tests {
            let path = format!("/tests/{test}");
            wanted.initramfs.file(&path, &objects.join(test))?;
            let action = Action::Exec(ExecAction {
                argv: vec![path],
                output: Output::Text,
                flaws: Vec::new(),
            });
            wanted.step(name(test), Some(Side::Rust), UPSTREAM_LIMIT_S, action);
        }
        Ok(wanted)
    }
}
