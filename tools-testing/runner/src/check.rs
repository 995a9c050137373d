// SPDX-License-Identifier: GPL-2.0
//! `check`: all tests, or some.

mod boots;
mod catalog;
mod context;
mod host;
mod judge;
pub mod lock_order;
mod machines;
mod module;
mod names;

pub use machines::LOCK_ORDER;

use crate::accel::Engine;
use crate::build_steps;
use crate::cli::Common;
use crate::expected::HANGS_UNDER_RT;
use crate::paths::{Group, Kernel, Kind, Paths};
use crate::progress::Screen;
use crate::report::{Report, Verdict};
use crate::select::Selection;
use anyhow::{bail, Result};
use boots::{Kernels, Modules, Wanted};
use catalog::{Catalog, MAIN};
use context::Context;
use machines::Which;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

/// Runs the tests that `patterns` choose; whether all went well. A part of them runs on the kernels
/// of the group `beside`, too.
pub fn run(common: &Common, patterns: &[String], beside: Option<&str>, list: bool) -> Result<bool> {
    let screen = Screen::new();
    let paths = Paths::new(common)?;
    let selection = Selection::new(patterns)?;
    let Group {
        kernels: beside,
        missing,
    } = match beside {
        Some(group) => paths.group(group)?,
        None => Group::default(),
    };

    let step = screen.step("Building the programs of the machines");
    let crates = [
        "init",
        "selftests",
        "samples",
        "hello-xen",
        "fuzz",
        "storm",
        "top",
    ];
    let programs = build_steps::programs(&paths, &crates, |what| step.note(what))?;
    let programs = Arc::new(programs);
    let mut catalog = Catalog::new(&paths, &programs, common, &selection, &beside)?;
    if list {
        drop(step);
        catalog.names().iter().for_each(|name| println!("{name}"));
        return Ok(true);
    }
    if catalog.names().is_empty() {
        bail!("no test has such a name; check --list shows them all");
    }
    step.done("");

    // Of a crate's tests no name is known before: a part of them may be none.
    let mut chosen = catalog.names();
    chosen.retain(|name| !name.starts_with("host/") || selection.has(name));
    let report = Report::new(&screen);
    let context = Context {
        paths: &paths,
        common,
        selection: &selection,
        report: &report,
        screen: &screen,
    };
    for (name, why) in missing {
        if selection.may_have_in(&name) {
            report.add(&format!("{name}/all"), Verdict::Skip(why), None);
        }
    }
    for group in &catalog.left_out {
        report.add(group, Verdict::Skip(HANGS_UNDER_RT.to_owned()), None);
    }
    let kernels = context.kernels(&mut catalog, &beside);
    let modules = context.build_modules(&mut catalog, &kernels);
    let kernels = Kernels::new(&paths, common, &programs, kernels, &modules)?;
    let engine = Engine::choose(common.accel)?;
    screen.line(format!("# machines run by {}", engine.why));
    let module = modules.get(&Which::Main(Kind::Stock));
    let seed = common.random.seed;
    screen.line(format!("# seed {seed} (SEED={seed} tries the same again)"));
    let alarms = || host::alarms(&context, &catalog);
    boots::run(&context, &catalog, &kernels, &engine, alarms, || {
        if let Some(module) = module {
            module::file(&context, &catalog, module);
        }
        host::tests(&context, &catalog);
        if !common.no_module {
            module::source(&context, &catalog);
        }
    });
    report.each_once(&chosen);
    screen.line(format!("# logs: {}", paths.logs.display()));
    report.table().iter().for_each(|line| println!("{line}"));
    kernels.table().iter().for_each(|line| println!("{line}"));
    println!("Machines run by {}.", engine.says());
    println!("{}", report.closing());
    Ok(report.is_good())
}

impl Context<'_> {
    /// The kernels that tests want. Those that want one that is not there fail at once.
    fn kernels(&self, catalog: &mut Catalog, beside: &[(String, Kernel)]) -> Vec<Wanted> {
        let mut kernels = Vec::new();
        for (which, wants_module) in catalog.kernels() {
            let found = match which {
                Which::Main(kind) => self.paths.of_kind(kind),
                Which::Beside(index) => Ok(beside[index].1.clone()),
            };
            match found {
                Ok(kernel) => kernels.push(Wanted {
                    which,
                    kernel,
                    wants_module,
                }),
                Err(error) => {
                    let names = catalog.take_those_of_kernel(which);
                    self.fail(names, &format!("{error:#}"));
                }
            }
        }
        // What the guests boot, whatever their machine does.
        if !kernels.iter().any(|wanted| wanted.which == MAIN) {
            kernels.push(Wanted {
                which: MAIN,
                kernel: self.paths.kernel.clone(),
                wants_module: false,
            });
        }
        kernels
    }

    /// Our module for each kernel, where tests want it. Those that do fail at once where it can't be
    /// built.
    fn build_modules(&self, catalog: &mut Catalog, kernels: &[Wanted]) -> Modules {
        let mut modules = Modules::new();
        if self.common.no_module {
            return modules;
        }
        let wanted = kernels.iter().filter(|wanted| wanted.wants_module);
        let (given, built): (Vec<_>, Vec<_>) =
            wanted.partition(|wanted| wanted.which == MAIN && self.common.module.is_some());
        let given = given.iter().zip(&self.common.module);
        modules.extend(given.map(|(wanted, file)| (wanted.which, file.clone())));
        // Much of what a compiler does with one crate is done by one processor.
        for pair in built.chunks(2) {
            let files = thread::scope(|scope| {
                let threads = pair
                    .iter()
                    .map(|wanted| scope.spawn(|| self.build_module(&wanted.kernel)));
                let threads: Vec<_> = threads.collect();
                let files = threads
                    .into_iter()
                    .map(|thread| thread.join().ok().flatten());
                files.collect::<Vec<_>>()
            });
            for (wanted, file) in pair.iter().zip(files) {
                match file {
                    Some(file) => {
                        modules.insert(wanted.which, file);
                    }
                    None => {
                        let names = catalog.take_those_of_module(wanted.which);
                        self.fail(names, "kvm_xen_rs.ko was not built");
                    }
                }
            }
        }
        modules
    }

    fn build_module(&self, kernel: &Kernel) -> Option<PathBuf> {
        let label = &kernel.label;
        let step = self
            .screen
            .step(format!("Building kvm_xen_rs.ko for {label}"));
        let mut notes = Vec::new();
        let built = build_steps::module(self.paths, kernel, |line| {
            step.note(line.trim());
            notes.extend(line.strip_prefix("note: ").map(str::to_owned));
        });
        match built {
            Ok(module) => {
                step.done("");
                for note in notes {
                    self.screen.line(format!("# {note}"));
                }
                Some(module)
            }
            Err(error) => {
                drop(step);
                let text = format!("{error:#}");
                let lines = text.lines().skip(1).map(str::to_owned).collect();
                let verdict = Verdict::NotOk("it does not build".into(), lines);
                self.report
                    .add(&format!("module/build-{label}"), verdict, None);
                None
            }
        }
    }

    fn fail(&self, names: Vec<String>, reason: &str) {
        for name in names {
            let verdict = Verdict::NotOk(reason.to_owned(), Vec::new());
            self.report.add(&name, verdict, None);
        }
    }
}
