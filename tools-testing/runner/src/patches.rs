// SPDX-License-Identifier: GPL-2.0
//! `check-upstream`: C patches against what c-bugs.rst tells of, each tried on a debug kernel.

mod builds;
mod diff;
mod document;
pub mod machine;
mod outcome;
pub mod patch;
pub mod style;
pub mod tree;

use crate::accel::Engine;
use crate::build_steps;
use crate::cli::Common;
use crate::parts::{Parts, Programs};
use crate::paths::{Kernel, Kind, Paths};
use crate::progress::Screen;
use crate::report::Verdict;
use anyhow::{Context, Result};
use machine::{Shown, Wanted};
use outcome::Tried;
use patch::Patch;
use protocol::Side;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use tree::Tree;

/// Where patches are in the clone.
pub const UPSTREAM: &str = "samples/upstream";
pub const PROPOSALS: &str = "samples/proposals";

/// What the names of the tests of [`checks`] begin with, and where the patches are.
const GROUPS: [(&str, &str); 2] = [("upstream-patches", UPSTREAM), ("proposals", PROPOSALS)];

const DOCUMENT: &str = "Documentation/upstream.rst";

/// What lockdep tells once in a boot has to be first.
const FIRST: &str = "timer-in-hard-interrupt";

/// The reproducer whose patch has no timer's event lost any more.
const LOST_TIMER: &str = "timer-event-lost";

/// How often a machine is booted again in which C has lost the event that upstream's test waits for.
const AGAIN: usize = 2;

/// What is looked at in each patch without a machine.
pub fn checks(paths: &Paths) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for (group, directory) in GROUPS {
        for patch in patch::all(&paths.source, directory)? {
            // What the proposals change is built by check-proposals, with all of the kernel crate.
            let builds = (directory == UPSTREAM && patch.is_code()).then_some("builds");
            let checks = ["applies", "checkpatch"].into_iter().chain(builds);
            names.extend(checks.map(|check| format!("{group}/{}/{check}", patch.name)));
        }
    }
    Ok(names)
}

/// What came of one of [`checks`].
pub fn check(paths: &Paths, name: &str) -> Verdict {
    let verdict = || -> Result<Verdict> {
        let mut parts = name.split('/');
        let mut part = || parts.next().context("no such check");
        let (group, name, check) = (part()?, part()?, part()?);
        let group = GROUPS.iter().find(|(of, _)| *of == group);
        let (_, directory) = group.context("no such group")?;
        let patches = patch::named(patch::all(&paths.source, directory)?, &[name.to_owned()])?;
        let patch = patches.first().context("no such patch")?;
        let kernels = style::kernels(paths)?;
        Ok(match check {
            "applies" => style::applies(patch, &kernels),
            "builds" => builds::verdict(paths, patch, &kernels),
            _ => style::checkpatch(paths, patch, &kernels),
        })
    };
    verdict().unwrap_or_else(|error| Verdict::NotOk(format!("{error:#}"), Vec::new()))
}

/// What a run works with.
struct Run<'a> {
    common: &'a Common,
    paths: &'a Paths,
    screen: &'a Screen,
    engine: Engine,
    programs: Programs,
    kernel: Kernel,
}

/// Tries these patches, or all, with `PREEMPT_RT` or without; whether each does what it is for.
pub fn run(common: &Common, names: &[String], rt: bool) -> Result<bool> {
    let screen = Screen::new();
    let paths = Paths::new(common)?;
    let patches = patch::named(patch::all(&paths.source, UPSTREAM)?, names)?;
    let kind = if rt { Kind::DebugRt } else { Kind::Debug };
    let kernel = paths.of_kind(kind)?;

    let step = screen.step("Building the programs of the machines");
    let programs = build_steps::programs(&paths, &["init", "selftests"], |what| step.note(what))?;
    step.done("");
    let run = Run {
        common,
        paths: &paths,
        screen: &screen,
        engine: Engine::choose(common.accel)?,
        programs: Arc::new(programs),
        kernel,
    };
    screen.line(format!("  Machines run by {}", run.engine.why));
    let reproducers = reproducers(&patches);
    let before = run.boot("upstream-before", None, &[], Side::C, &reproducers, false)?;
    let rust = match common.no_module {
        true => None,
        false => Some(run.rust(&reproducers)?),
    };
    let step = screen.step("Copying the kernel's source (once, two and a half gigabytes)");
    let tree = Tree::new(&paths, &run.kernel, "upstream")?;
    step.done("");
    let kernels = style::kernels(&paths)?;
    let mut tried = Vec::new();
    for patch in patches {
        let one = run.one(patch, &tree, &kernels, &before, rust.as_ref())?;
        match one.wrong().as_slice() {
            [] => screen.line(format!("  {}: as it should be", one.patch.name)),
            wrong => wrong
                .iter()
                .for_each(|line| screen.line(format!("  {line}"))),
        }
        tried.push(one);
    }
    let is_good = tried.iter().all(|one| one.wrong().is_empty());
    if names.is_empty() && !rt && rust.is_some() {
        write(&paths, &run.kernel, &run.engine, &tried)?;
    }
    println!("{}", closing(&tried));
    Ok(is_good)
}

impl Run<'_> {
    /// A patch: what can be said of it at once, then KVM built with it and booted.
    fn one(
        &self,
        patch: Patch,
        tree: &Tree,
        kernels: &[Kernel],
        before: &Shown,
        rust: Option<&Shown>,
    ) -> Result<Tried> {
        let checks = [
            style::applies(&patch, kernels),
            style::checkpatch(self.paths, &patch, kernels),
        ];
        if !patch.is_code() {
            return Ok(Tried::new(patch, checks, before, rust, None));
        }
        let step = self
            .screen
            .step(format!("Building KVM with {}", patch.name));
        let kvm = tree.kvm(&patch, |line| step.note(line.trim()));
        let kvm = kvm.with_context(|| patch.name.clone())?;
        step.done("");
        let name = format!("upstream-{}", patch.name);
        let own = reproducers(std::slice::from_ref(&patch));
        let keeps_timers = own.iter().any(|name| name == LOST_TIMER);
        let boot = || self.boot(&name, None, &kvm, Side::C, &own, true);
        let mut after = boot()?;
        let mut again = 0;
        while !keeps_timers && again < AGAIN && after.lost_the_timer() {
            again += 1;
            after = boot()?;
        }
        Ok(Tried {
            again,
            ..Tried::new(patch, checks, before, rust, Some(&after))
        })
    }

    /// Rust, on the kernel as it is.
    fn rust(&self, reproducers: &[String]) -> Result<Shown> {
        let step = self.screen.step("Building kvm_xen_rs.ko");
        let module = build_steps::module(self.paths, &self.kernel, |line| step.note(line.trim()))?;
        step.done("");
        self.boot(
            "upstream-rust",
            Some(module),
            &[],
            Side::Rust,
            reproducers,
            false,
        )
    }

    /// Boots the debug kernel, with these modules in place of its own.
    fn boot(
        &self,
        name: &str,
        module: Option<PathBuf>,
        kvm: &[PathBuf],
        side: Side,
        reproducers: &[String],
        upstream: bool,
    ) -> Result<Shown> {
        let kernel = self.kernel.clone();
        let mut parts = Parts::new(self.paths, self.common, kernel, &self.programs, module)?;
        kvm.iter().for_each(|file| parts.replace_module(file));
        let wanted = Wanted {
            name,
            parts: &parts,
            side,
            reproducers,
            upstream,
            append: "",
        };
        machine::run(&wanted, &self.engine, self.screen, self.common.timeout)
    }
}

/// The reproducers of all of these, each once.
fn reproducers(patches: &[Patch]) -> Vec<String> {
    let names = patches.iter().flat_map(|patch| &patch.reproducers);
    let mut names: Vec<String> = names.cloned().collect();
    names.sort_by_key(|name| (name != FIRST, name.clone()));
    names.dedup();
    names
}

fn write(paths: &Paths, kernel: &Kernel, engine: &Engine, tried: &[Tried]) -> Result<()> {
    let path = paths.source.join(DOCUMENT);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let engine = engine.accel.to_string();
    let text = document::with(&text, tried, &kernel.release, &engine)?;
    fs::write(&path, text).with_context(|| path.display().to_string())
}

fn closing(tried: &[Tried]) -> String {
    let bad = tried.iter().filter(|one| !one.wrong().is_empty()).count();
    format!("{} passed, {bad} failed", tried.len() - bad)
}

#[cfg(test)]
mod tests {
    use super::patch::tests::patch;
    use super::*;

    #[test]
    fn lockdep_is_asked_first() {
        let mut other = patch();
        other.reproducers = vec![FIRST.into(), "one".into()];
        assert_eq!(reproducers(&[patch(), other]), [FIRST, "one", "two"]);
    }
}
