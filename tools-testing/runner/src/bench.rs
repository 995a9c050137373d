// SPDX-License-Identifier: GPL-2.0
//! `bench`: what C and Rust cost, path by path, in one boot.

mod compare;
mod document;
mod plot;
mod results;

use crate::accel::{Accel, Engine};
use crate::boot::{self, Boot};
use crate::build_steps;
use crate::cli::{Bench, Common};
use crate::parts::{pack, Parts};
use crate::paths::Paths;
use crate::progress::Screen;
use anyhow::{bail, Context, Result};
use protocol::{Action, Cost, Event, Outcome, Step};
use results::Results;
use std::fs;

/// Seconds that all of a run may take.
const RUN_LIMIT_S: u64 = 180;

/// Measures, and tells, keeps and compares what came of it; whether nothing has become slower.
pub fn run(common: &Common, options: &Bench) -> Result<bool> {
    let screen = Screen::new();
    let paths = Paths::new(common)?;
    // Before it takes minutes to find out.
    let old = options.compare.as_deref().map(Results::read).transpose()?;
    let parts = Parts::build(&paths, common, &["bench"], &screen)?;
    let step = screen.step("Building kvm_xen_detour.ko");
    let detour = build_steps::detour(&paths, &paths.kernel)?;
    step.done("");

    let engine = Engine::choose(common.accel)?;
    let accel = match engine.accel {
        Accel::Kvm => Accel::Kvm,
        Accel::Tcg | Accel::Counted => Accel::Counted,
    };
    screen.line(format!("  Measured by {accel}"));
    let (mut initramfs, mut plan) = parts.machine()?;
    let mut arguments = vec![format!("--runs={}", options.runs)];
    arguments.extend(options.paths.iter().map(|glob| format!("--paths={glob}")));
    plan.steps = vec![Step {
        id: "bench".into(),
        // It sees to it.
        side: None,
        limit_s: RUN_LIMIT_S * u64::from(options.runs),
        action: Action::Exec(parts.bench(&mut initramfs, &detour, &arguments)?),
    }];
    let mut boot = Boot {
        name: "bench",
        engine: &engine,
        accel,
        kernel: &paths.kernel,
        append: "",
        smp: 1,
        memory_mib: 1024,
        initramfs: pack(initramfs, &plan, &screen),
        plan: &plan,
        limit_s: common.timeout,
        terminal: None,
    };
    let step = screen.step("Measuring");
    let mut costs = Vec::new();
    let mut said = Vec::new();
    let ended = boot::run(&mut boot, &paths.logs, &mut |event| {
        if let Event::Output { line } = event {
            match protocol::from_line::<Cost>(line) {
                Some(cost) => {
                    step.note(format!("{} on {}", cost.path, cost.server));
                    costs.push(cost);
                }
                None => said.push(line.clone()),
            }
        }
    })?;
    if let Some(fault) = ended.fault {
        bail!("{}\nLogs: {}", fault.join("\n"), ended.logs.display());
    }
    for event in &ended.events {
        if let Event::End {
            outcome: Outcome::Failed { reason },
            ..
        } = event
        {
            said.push(reason.clone());
            bail!("{}\nLogs: {}", said.join("\n"), ended.logs.display());
        }
    }
    step.done("");

    let results = Results::new(&paths.kernel.release, accel, &options.commit, &costs);
    results.table().iter().for_each(|line| println!("{line}"));
    let file = paths.source.join("build/bench").join(results.file_name());
    results.write(&file)?;
    println!("Kept: {}", file.display());
    // A part of the paths, or one side, is no news for readers.
    if options.paths.is_none() && parts.has_module() {
        let document = paths.source.join("Documentation/performance.rst");
        let text = fs::read_to_string(&document).with_context(|| document.display().to_string())?;
        fs::write(&document, document::with(&text, &results)?)?;
        let picture = paths.source.join("Documentation/performance.svg");
        fs::write(&picture, plot::draw(&results)).with_context(|| picture.display().to_string())?;
        println!("Written: {}, {}", document.display(), picture.display());
    }
    let Some(old) = old else {
        return Ok(true);
    };
    let slower = compare::slower(&old, &results)?;
    for line in &slower {
        println!("slower: {line}");
    }
    println!("{} paths are slower than in {}", slower.len(), old.commit);
    Ok(slower.is_empty())
}
