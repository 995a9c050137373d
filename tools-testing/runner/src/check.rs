// SPDX-License-Identifier: GPL-2.0
//! `check`: all tests, or some.

mod boots;
mod catalog;
mod host;
mod judge;
pub mod lock_order;
mod machines;
mod module;

use crate::accel::Engine;
use crate::build_steps;
use crate::cli::Common;
use crate::parts::Parts;
use crate::paths::{Kernel, Paths};
use crate::progress::Screen;
use crate::report::{Report, Verdict};
use crate::select::Selection;
use anyhow::{bail, Result};
use boots::Kernels;
use catalog::Catalog;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

/// What the tests share.
pub struct Context<'a> {
    paths: &'a Paths,
    common: &'a Common,
    selection: &'a Selection,
    report: &'a Report,
    screen: &'a Screen,
}

/// Runs the tests that `patterns` choose; whether all went well.
pub fn run(common: &Common, patterns: &[String], list: bool) -> Result<bool> {
    let screen = Screen::new();
    let paths = Paths::new(common)?;
    let selection = Selection::new(patterns)?;

    let step = screen.step("Building the programs of the machines");
    let crates = ["init", "selftests", "samples", "fuzz", "storm"];
    let programs = build_steps::programs(&paths, &crates, |what| step.note(what))?;
    let programs = Arc::new(programs);
    let mut catalog = Catalog::new(&paths, &programs, common, &selection)?;
    if list {
        drop(step);
        catalog.names().iter().for_each(|name| println!("{name}"));
        return Ok(true);
    }
    if catalog.names().is_empty() {
        bail!("no test has such a name; check --list shows them all");
    }
    step.done("");

    let chosen = catalog.names();
    let report = Report::new(&screen);
    let context = Context {
        paths: &paths,
        common,
        selection: &selection,
        report: &report,
        screen: &screen,
    };
    let debug_kernel = context.debug_kernel(&mut catalog);
    let (module, debug_module) = context.build_modules(&mut catalog, debug_kernel.as_ref());
    let debug = debug_kernel
        .map(|kernel| Parts::new(&paths, common, kernel, &programs, debug_module))
        .transpose()?;
    let kernels = Kernels {
        stock: Parts::new(
            &paths,
            common,
            paths.kernel.clone(),
            &programs,
            module.clone(),
        )?,
        debug,
    };
    let engine = Engine::choose(common.accel)?;
    screen.line(format!("# machines run by {}", engine.why));
    let seed = common.random.seed;
    screen.line(format!("# seed {seed} (SEED={seed} tries the same again)"));
    boots::run(&context, &catalog, &kernels, &engine, || {
        if let Some(module) = &module {
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
    println!("{}", report.closing());
    Ok(report.is_good())
}

impl Context<'_> {
    /// The debug kernel, if a test wants it. Those that do fail at once where there is none.
    fn debug_kernel(&self, catalog: &mut Catalog) -> Option<Kernel> {
        if !catalog.wants_debug_kernel() {
            return None;
        }
        match self.paths.debug_kernel() {
            Ok(kernel) => Some(kernel),
            Err(error) => {
                self.fail(catalog.take_those_of_debug_kernel(), &format!("{error:#}"));
                None
            }
        }
    }

    /// Our module for the stock kernel, and for the debug kernel, where tests want them. Those that
    /// do fail at once where it can't be built.
    fn build_modules(
        &self,
        catalog: &mut Catalog,
        debug: Option<&Kernel>,
    ) -> (Option<PathBuf>, Option<PathBuf>) {
        if self.common.no_module {
            return (None, None);
        }
        let given = self.common.module.clone();
        let stock = (given.is_none() && catalog.wants_module(false)).then_some(&self.paths.kernel);
        let debug = debug.filter(|_| catalog.wants_module(true));
        // Much of what a compiler does with one crate is done by one processor.
        let (stock, debug) = thread::scope(|scope| {
            let build = |kernel| scope.spawn(move || self.build_module(kernel));
            let (stock, debug) = (stock.map(build), debug.map(build));
            let join = |thread: thread::ScopedJoinHandle<_>| thread.join().ok().flatten();
            (stock.and_then(join), debug.and_then(join))
        });
        let stock = given.or(stock);
        for (is_debug, module) in [(false, &stock), (true, &debug)] {
            if module.is_none() {
                let names = catalog.take_those_of_module(is_debug);
                self.fail(names, "kvm_xen_rs.ko was not built");
            }
        }
        (stock, debug)
    }

    fn build_module(&self, kernel: &Kernel) -> Option<PathBuf> {
        let suffix = if kernel.is_debug { "-debug" } else { "" };
        let title = format!("Building kvm_xen_rs.ko for {}", kernel.release);
        let step = self.screen.step(title + suffix);
        match build_steps::module(self.paths, kernel, |line| step.note(line.trim())) {
            Ok(module) => {
                step.done("");
                Some(module)
            }
            Err(error) => {
                drop(step);
                let text = format!("{error:#}");
                let lines = text.lines().skip(1).map(str::to_owned).collect();
                let verdict = Verdict::NotOk("it does not build".into(), lines);
                self.report
                    .add(&format!("module/build{suffix}"), verdict, None);
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
