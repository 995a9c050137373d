// SPDX-License-Identifier: GPL-2.0
//! The lock order broken on purpose: lockdep must report each mistake, and nothing of the same done
//! by our module. Lockdep goes off with its first report, so each has a machine.

use super::{Chosen, Expected, Facts, Machine, Test, Wanted, Which, DEBUG_MEMORY_MIB};
use crate::build_steps;
use crate::parts::Parts;
use crate::paths::Kind;
use anyhow::{anyhow, Result};
use protocol::{Action, ExecAction, Output, Side};
use std::path::PathBuf;
use std::sync::OnceLock;

const GROUP: &str = "samples";

/// The module that makes mistakes, which is at the root of a machine.
const MODULE: &str = "kvm_xen_broken_order.ko";

/// The one that makes those which lockdep does not see.
const BLIND: &str = "lockdep_blind.ko";

const PROGRAM: &str = "kvm-xen-broken-order";

/// Seconds for one run of the program.
const LIMIT_S: u64 = 60;

/// A mistake, by its name.
pub struct Mistake(pub &'static str);

impl Machine for Mistake {
    fn name(&self) -> &str {
        self.0
    }

    fn kernel(&self) -> Which {
        Which::Main(Kind::Debug)
    }

    fn tests(&self, facts: &Facts) -> Vec<Test> {
        // On C, yet of no use to who tests C alone.
        let test = Test::on(Side::C, format!("{GROUP}/{}", self.0));
        facts.module.then_some(test).into_iter().collect()
    }

    fn prepare(&self, _: &Chosen, parts: &Parts) -> Result<Wanted> {
        let mut wanted = Wanted::new(parts, DEBUG_MEMORY_MIB)?;
        let id = format!("{GROUP}/{}", self.0);
        let action = program(&mut wanted, parts, MODULE, &[self.0])?;
        let limit_s = LIMIT_S * parts.kernel.patience();
        wanted.step(&id, Some(Side::C), limit_s, action);
        wanted.expected.push((id, Expected::ReportItTells));
        Ok(wanted)
    }
}

/// The same without a mistake, and requests that are refused.
pub struct Control;

const CONTROL: [&str; 2] = ["control", "refusals"];

impl Machine for Control {
    fn name(&self) -> &str {
        "samples-control"
    }

    fn kernel(&self) -> Which {
        Which::Main(Kind::Debug)
    }

    fn tests(&self, facts: &Facts) -> Vec<Test> {
        let names = CONTROL.map(|name| Test::on(Side::Rust, format!("{GROUP}/{name}")));
        names.into_iter().filter(|_| facts.module).collect()
    }

    fn prepare(&self, chosen: &Chosen, parts: &Parts) -> Result<Wanted> {
        let mut wanted = Wanted::new(parts, DEBUG_MEMORY_MIB)?;
        for name in CONTROL {
            let id = format!("{GROUP}/{name}");
            if chosen.has(&id) {
                let action = program(&mut wanted, parts, MODULE, &[&format!("--{name}")])?;
                let limit_s = LIMIT_S * parts.kernel.patience();
                wanted.step(id, Some(Side::Rust), limit_s, action);
            }
        }
        Ok(wanted)
    }
}

/// What lockdep does not see, and one of the same that it does.
pub struct Blind;

const BLIND_TEST: &str = "samples/lockdep-blind";

impl Machine for Blind {
    fn name(&self) -> &str {
        "samples-lockdep-blind"
    }

    fn kernel(&self) -> Which {
        Which::Main(Kind::Debug)
    }

    fn tests(&self, facts: &Facts) -> Vec<Test> {
        // As for the mistakes.
        let test = Test::on(Side::C, BLIND_TEST.into());
        facts.module.then_some(test).into_iter().collect()
    }

    fn prepare(&self, _: &Chosen, parts: &Parts) -> Result<Wanted> {
        let mut wanted = Wanted::new(parts, DEBUG_MEMORY_MIB)?;
        let number = format!("--blind={}", parts.random.seed);
        let action = program(&mut wanted, parts, BLIND, &[&number])?;
        let limit_s = LIMIT_S * parts.kernel.patience();
        wanted.step(BLIND_TEST, Some(Side::C), limit_s, action);
        let expected = (BLIND_TEST.into(), Expected::ReportItTells);
        wanted.expected.push(expected);
        Ok(wanted)
    }
}

fn program(wanted: &mut Wanted, parts: &Parts, module: &str, arguments: &[&str]) -> Result<Action> {
    let path = format!("/{module}");
    wanted
        .initramfs
        .file(&path, &modules(parts)?.join(module))?;
    let own = [format!("/tests/{PROGRAM}"), format!("--module={path}")];
    wanted
        .initramfs
        .stripped(&own[0], parts.program(PROGRAM)?)?;
    let arguments = arguments.iter().map(|&argument| argument.to_owned());
    Ok(Action::Exec(ExecAction {
        argv: own.into_iter().chain(arguments).collect(),
        output: Output::Text,
        flaws: Vec::new(),
    }))
}

/// Where the modules are, built for the first machine that wants one.
fn modules(parts: &Parts) -> Result<PathBuf> {
    static MODULES: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    MODULES
        .get_or_init(|| {
            build_steps::samples(parts.paths, &parts.kernel).map_err(|error| format!("{error:#}"))
        })
        .clone()
        .map_err(|error| anyhow!(error))
}
