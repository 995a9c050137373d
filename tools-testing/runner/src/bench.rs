// SPDX-License-Identifier: GPL-2.0
//! `bench`: what C and Rust cost, path by path, in one boot.

mod compare;
mod document;
mod plot;
mod results;
mod tables;

use crate::accel::{Accel, Engine};
use crate::boot::{self, Boot};
use crate::build_steps;
use crate::cli::{self, Common};
use crate::parts::{pack, Parts};
use crate::paths::Paths;
use crate::progress::Screen;
use anyhow::{bail, Context, Result};
use protocol::{Action, Contention, Cost, Event, Outcome, Step};
use results::Results;
use serde::de::DeserializeOwned;
use std::fs;
use std::path::PathBuf;
use tables::Table;

/// Seconds that all of a run may take, and all that is counted of many senders.
const RUN_LIMIT_S: u64 = 180;
const CONTENTION_LIMIT_S: u64 = 600;

/// Processors of the machine in which many send at once.
const PROCESSORS: u32 = 4;

/// Measures, and tells, keeps and compares what came of it; whether nothing has become slower.
pub fn run(common: &Common, options: &cli::Bench) -> Result<bool> {
    let screen = Screen::new();
    let paths = Paths::new(common)?;
    // Before it takes minutes to find out.
    let old = options.compare.as_deref().map(Results::read).transpose()?;
    let parts = Parts::build(&paths, common, &["bench"], &screen)?;
    let step = screen.step("Building kvm_xen_detour.ko");
    let detour = build_steps::detour(&paths, &paths.kernel)?;
    step.done("");

    let engine = Engine::choose(common.accel)?;
    let [counting, at_once] = match engine.accel {
        Accel::Kvm => [Accel::Kvm; 2],
        _ => [Accel::Counted, Accel::Parallel],
    };
    screen.line(format!("  Measured by {counting}"));
    let bench = Bench {
        parts,
        detour,
        engine,
        limit_s: common.timeout,
        screen,
    };
    let mut arguments = vec![format!("--runs={}", options.runs)];
    arguments.extend(options.paths.iter().map(|glob| format!("--paths={glob}")));
    arguments.extend(options.traced.iter().map(|how| format!("--traced={how}")));
    let limit_s = RUN_LIMIT_S * u64::from(options.runs);
    let costs = bench.told("bench", counting, 1, arguments, limit_s, |cost: &Cost| {
        format!("{} on {}", cost.path, cost.server)
    })?;
    let mut results = Results::new(&paths.kernel.release, counting, &options.commit, &costs);
    if options.paths.is_none() && options.traced.is_none() {
        let arguments = vec!["--contention".to_owned()];
        let limit_s = CONTENTION_LIMIT_S;
        results.contention = bench.told(
            "contention",
            at_once,
            PROCESSORS,
            arguments,
            limit_s,
            |of: &Contention| format!("{} senders on {}", of.crowd.senders, of.server),
        )?;
    }
    for table in [Table::of_paths, Table::of_growth, Table::of_contention] {
        table(&results)
            .lines()
            .iter()
            .for_each(|line| println!("{line}"));
    }
    results.summary().iter().for_each(|line| println!("{line}"));
    if options.traced.is_some() {
        return Ok(true);
    }
    let file = paths.source.join("build/bench").join(results.file_name());
    results.write(&file)?;
    println!("Kept: {}", file.display());
    // A part of the paths, or one side, is no news for readers.
    if options.paths.is_none() && bench.parts.has_module() {
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

/// What measures in machines.
struct Bench<'a> {
    parts: Parts<'a>,
    detour: PathBuf,
    engine: Engine,
    limit_s: Option<u64>,
    screen: Screen,
}

impl Bench<'_> {
    /// Boots a machine of `smp` processors, and returns what the benchmark tells with these arguments.
    fn told<T: DeserializeOwned>(
        &self,
        name: &'static str,
        accel: Accel,
        smp: u32,
        arguments: Vec<String>,
        limit_s: u64,
        note: impl Fn(&T) -> String,
    ) -> Result<Vec<T>> {
        let (mut initramfs, mut plan) = self.parts.machine()?;
        let action = self.parts.bench(&mut initramfs, &self.detour, &arguments)?;
        plan.steps = vec![Step {
            id: name.into(),
            // It sees to it.
            side: None,
            limit_s,
            action: Action::Exec(action),
        }];
        let mut boot = Boot {
            name,
            engine: &self.engine,
            accel,
            kernel: &self.parts.kernel,
            append: "",
            smp,
            memory_mib: 1024,
            initramfs: pack(initramfs, &plan, &self.screen),
            plan: &plan,
            limit_s: self.limit_s,
            terminal: None,
        };
        let step = self.screen.step(format!("Measuring: {name}"));
        let mut told = Vec::new();
        let mut said = Vec::new();
        let ended = boot::run(&mut boot, &self.parts.paths.logs, &mut |event| {
            if let Event::Output { line } = event {
                match protocol::from_line::<T>(line) {
                    Some(result) => {
                        step.note(note(&result));
                        told.push(result);
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
        Ok(told)
    }
}
