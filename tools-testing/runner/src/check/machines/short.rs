// SPDX-License-Identifier: GPL-2.0
//! Everything short on the stock kernel, in one boot: first on C, then on Rust.

use super::{add_selftests, add_upstream, Chosen, Facts, Machine, Test, Wanted};
use super::{LIFECYCLE_LIMIT_S, UPSTREAM};
use crate::parts::{Parts, HELLO_LIMIT_S};
use anyhow::Result;
use protocol::{Action, Side};

/// Seconds that the test of kvm-xen-top may take.
const TOP_LIMIT_S: u64 = 60;

/// How often the module is inserted and removed.
const REINSERT: u32 = 10;

const LIFECYCLE: [&str; 6] = [
    "lifecycle/reinsert",
    "lifecycle/insert-before-kvm",
    "lifecycle/another-build",
    "lifecycle/xen-poll-timeout",
    "lifecycle/package",
    "lifecycle/traced",
];

/// What kvm-xen-top shows.
const TOP: &str = "tools/top";

/// The machine.
pub struct Short;

impl Machine for Short {
    fn name(&self) -> &str {
        "short"
    }

    fn tests(&self, facts: &Facts) -> Vec<Test> {
        let mut tests = Vec::new();
        for &side in facts.sides() {
            let names = UPSTREAM.map(|name| format!("{}/{name}", upstream(side)));
            tests.extend(names.map(|name| Test::on(side, name)));
        }
        for &side in facts.sides() {
            let cases = facts.cases.iter();
            let names = cases.map(|case| format!("{}/{case}", selftests(side)));
            tests.extend(names.map(|name| Test::on(side, name)));
        }
        let hellos = facts.sides().iter();
        tests.extend(hellos.map(|&side| Test::on(side, hello(side))));
        if facts.module {
            tests.push(Test::on(Side::Rust, TOP.into()));
            tests.extend(LIFECYCLE.map(|name| Test::on(Side::Rust, name.into())));
        }
        tests
    }

    fn prepare(&self, chosen: &Chosen, parts: &Parts) -> Result<Wanted> {
        let mut wanted = Wanted::new(parts, 1024)?;
        for side in [Side::C, Side::Rust] {
            add_upstream(&mut wanted, chosen, parts, &upstream(side), side)?;
            add_selftests(&mut wanted, chosen, parts, &selftests(side), side)?;
            if chosen.has(&hello(side)) {
                let exec = parts.hello(&mut wanted.initramfs)?;
                wanted.step(hello(side), Some(side), HELLO_LIMIT_S, Action::Exec(exec));
            }
        }
        if chosen.has(TOP) {
            let exec = parts.top(&mut wanted.initramfs, &["count"])?;
            wanted.step(TOP, Some(Side::Rust), TOP_LIMIT_S, Action::Exec(exec));
        }
        let [reinsert, before_kvm, another_build, poll_timeout, package, traced] = LIFECYCLE;
        if chosen.has(reinsert) {
            let action = Action::Reinsert { times: REINSERT };
            wanted.step(reinsert, None, LIFECYCLE_LIMIT_S, action);
        }
        if chosen.has(before_kvm) {
            match parts.upstream(&mut wanted.initramfs, "xen_vmcall_test") {
                Ok(proof) => {
                    let action = Action::InsertBeforeKvm { proof };
                    wanted.step(before_kvm, None, LIFECYCLE_LIMIT_S, action);
                }
                Err(error) => wanted
                    .failed
                    .push((before_kvm.into(), format!("{error:#}"))),
            }
        }
        if chosen.has(another_build) {
            let module = parts.module_of_another_build(&mut wanted.initramfs)?;
            let action = Action::RefuseBuild { module };
            wanted.step(another_build, None, LIFECYCLE_LIMIT_S, action);
        }
        if chosen.has(poll_timeout) {
            let flags = ["--xen-poll-timeout"];
            let proof = parts.selftests(&mut wanted.initramfs, &flags, &[])?;
            let action = Action::InsertWith {
                parameters: "xen_poll_timeout=1".into(),
                proof,
            };
            wanted.step(poll_timeout, None, LIFECYCLE_LIMIT_S, action);
        }
        if chosen.has(package) {
            match parts.package(&mut wanted.initramfs) {
                // It inserts the module itself.
                Ok(exec) => wanted.step(
                    package,
                    Some(Side::C),
                    LIFECYCLE_LIMIT_S,
                    Action::Exec(exec),
                ),
                Err(error) => wanted.failed.push((package.into(), format!("{error:#}"))),
            }
        }
        if chosen.has(traced) {
            let arguments = ["remove", parts.module_path()];
            let exec = parts.top(&mut wanted.initramfs, &arguments)?;
            // Three times there and back, beside a task that sends without a pause.
            wanted.step(traced, None, 2 * LIFECYCLE_LIMIT_S, Action::Exec(exec));
        }
        Ok(wanted)
    }
}

fn upstream(side: Side) -> String {
    format!("upstream/{}", side.name())
}

fn selftests(side: Side) -> String {
    format!("selftests/{}", side.name())
}

fn hello(side: Side) -> String {
    format!("samples/hello-xen/{}", side.name())
}
