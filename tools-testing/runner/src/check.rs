// SPDX-License-Identifier: GPL-2.0
//! `check`: all tests, or some.

mod boots;
mod catalog;
mod host;
mod judge;
mod module;

use crate::accel::Engine;
use crate::build_steps;
use crate::cli::Common;
use crate::parts::Parts;
use crate::paths::Paths;
use crate::progress::Screen;
use crate::report::{Report, Verdict};
use crate::select::Selection;
use anyhow::{bail, Result};
use catalog::Catalog;
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
    let programs = build_steps::programs(&paths, &["init", "selftests"], |what| step.note(what))?;
    let catalog = Catalog::new(&paths, &programs, common, &selection)?;
    if list {
        drop(step);
        catalog.names().iter().for_each(|name| println!("{name}"));
        return Ok(true);
    }
    if catalog.names().is_empty() {
        bail!("no test has such a name; check --list shows them all");
    }
    step.done("");

    let report = Report::new(&screen);
    let context = Context {
        paths: &paths,
        common,
        selection: &selection,
        report: &report,
        screen: &screen,
    };
    let module = context.build_module();
    let parts = Parts::new(&paths, programs, module.clone())?;
    let catalog = context.possible(catalog, module.is_some());
    let engine = Engine::choose(common.accel)?;
    screen.line(format!("# machines run by {}", engine.why));
    // The machines keep one processor busy most of the time, and the compilers the other.
    thread::scope(|scope| {
        let boots = scope.spawn(|| boots::run(&context, &catalog, &parts, &engine));
        if let Some(module) = &module {
            module::file(&context, &catalog, module);
        }
        host::tests(&context, &catalog);
        if !common.no_module {
            module::source(&context, &catalog);
        }
        if let Err(error) = boots.join().expect("a panic is a bug of ours") {
            let verdict = Verdict::NotOk(format!("{error:#}"), Vec::new());
            report.add("boot", verdict, None);
        }
    });
    screen.line(format!("# logs: {}", paths.logs.display()));
    println!("{}", report.closing());
    Ok(report.is_good())
}

impl Context<'_> {
    /// The tests that can be run. Those that want our module fail at once where there is none.
    fn possible(&self, mut catalog: Catalog, has_module: bool) -> Catalog {
        if !has_module && !self.common.no_module {
            for name in catalog.take_those_of_module() {
                let reason = "kvm_xen_rs.ko was not built".to_owned();
                self.report
                    .add(&name, Verdict::NotOk(reason, Vec::new()), None);
            }
        }
        catalog
    }

    /// Our module, unless it isn't wanted or can't be built, which is a test's failure.
    fn build_module(&self) -> Option<std::path::PathBuf> {
        if self.common.no_module {
            return None;
        }
        if let Some(file) = &self.common.module {
            return Some(file.clone());
        }
        let step = self.screen.step("Building kvm_xen_rs.ko");
        match build_steps::module(self.paths, |line| step.note(line.trim())) {
            Ok(module) => {
                step.done("");
                Some(module)
            }
            Err(error) => {
                drop(step);
                let text = format!("{error:#}");
                let lines = text.lines().skip(1).map(str::to_owned).collect();
                self.report.add(
                    "module/build",
                    Verdict::NotOk("it does not build".into(), lines),
                    None,
                );
                None
            }
        }
    }
}
