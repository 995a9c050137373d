// SPDX-License-Identifier: GPL-2.0
//! `coverage`: which lines of our module run in the tests on Rust.

mod document;
mod lines;
mod profile;

use crate::cli::{Common, Coverage};
use crate::paths::Paths;
use crate::progress::Screen;
use crate::{build_steps, check};
use anyhow::{bail, Context, Result};
use lines::Lines;
use protocol::Event;
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};

/// The tests, unless others are asked for: those that have Rust in charge of a stock kernel.
const TESTS: [&str; 7] = [
    "upstream/rust/*",
    "selftests/rust/*",
    "lifecycle/*",
    "storm/*",
    "takeover/*",
    "fuzz/*",
    "guest/xen-hvm",
];

/// So many of the fuzzer's sequences. What more of them find is not another line.
const SEQUENCES: u32 = 2000;

/// The least per cent of lines that are to run.
const FLOOR: f64 = 95.0;

const DOCUMENT: &str = "Documentation/coverage.rst";

/// Runs the tests with a module that notes what of it runs, and tells; whether all went well.
pub fn run(common: &Common, options: &Coverage) -> Result<bool> {
    let screen = Screen::new();
    let paths = Paths::new(common)?;
    let directory = paths.source.join("build/coverage");
    let step = screen.step("Building kvm_xen_rs.ko with coverage");
    let objects = paths.objects("coverage", &paths.kernel);
    let module =
        build_steps::module_in(&paths, &paths.kernel, &objects, &["COVERAGE=1"], |line| {
            step.note(line.trim())
        })?;
    step.done("");
    drop(screen);

    let logs = directory.join("logs");
    let run = run_directory(&logs, &fs::read(&module)?, options.add)?;
    let mut common = common.clone();
    common.keep_logs = Some(run);
    common.module = Some(module.clone());
    common.random.sequences.get_or_insert(SEQUENCES);
    let tests = match options.tests.as_slice() {
        [] => TESTS.map(str::to_owned).to_vec(),
        tests => tests.to_vec(),
    };
    let is_good = check::run(&common, &tests, None, false)?;

    let counts = told(&logs)?;
    if counts.is_empty() {
        bail!("no machine has told what ran");
    }
    let profile = profile::raw(&fs::read(&module)?, &counts)?;
    let lines = Lines::new(&module, &profile, &directory, &paths.source.join("rust"))?;
    lines.report().iter().for_each(|line| println!("{line}"));
    if !(options.tests.is_empty() || options.add) || !is_good {
        return Ok(is_good);
    }
    let document = paths.source.join(DOCUMENT);
    let text = fs::read_to_string(&document).with_context(|| document.display().to_string())?;
    let text = document::with(&text, &lines, &paths.kernel.release)?;
    fs::write(&document, &text)?;
    println!("Written: {}", document.display());
    let unexplained = document::unexplained(&text, &lines);
    for what in &unexplained {
        println!("{DOCUMENT} does not say why it has not run: {what}");
    }
    let per_cent = lines.all().per_cent();
    if per_cent < FLOOR {
        println!("{per_cent:.1} % of all lines ran, {FLOOR} % at least were to");
    }
    Ok(unexplained.is_empty() && per_cent >= FLOOR)
}

/// Where this run's logs go, with those of the runs that it adds to beside it. What their machines
/// counted is of one `module`, the same one.
fn run_directory(logs: &Path, module: &[u8], add: bool) -> Result<PathBuf> {
    let copy = logs.join("kvm_xen_rs.ko");
    if !add {
        if logs.exists() {
            fs::remove_dir_all(logs).with_context(|| logs.display().to_string())?;
        }
        fs::create_dir_all(logs).with_context(|| logs.display().to_string())?;
        fs::write(&copy, module).with_context(|| copy.display().to_string())?;
    } else if !fs::read(&copy).is_ok_and(|before| before == module) {
        bail!("no run before was of this module: begin without --add");
    }
    let mut runs = (1..).map(|number: u32| logs.join(number.to_string()));
    runs.find(|run| !run.exists()).context("too many runs")
}

/// A line of a boot's journal.
#[derive(Deserialize)]
struct Entry {
    says: Event,
}

/// The sums of what the machines of all runs with these logs have counted.
fn told(logs: &Path) -> Result<Vec<u64>> {
    let mut sums = Vec::new();
    for run in directories(logs)? {
        for machine in directories(&run)? {
            // A machine that never came up has none.
            let Ok(text) = fs::read_to_string(machine.join("events.jsonl")) else {
                continue;
            };
            for line in text.lines() {
                if let Some(Entry {
                    says: Event::Counted { counts },
                }) = protocol::from_line(line)
                {
                    sums.resize(counts.len().max(sums.len()), 0);
                    sums.iter_mut()
                        .zip(counts)
                        .for_each(|(sum, count)| *sum += count);
                }
            }
        }
    }
    Ok(sums)
}

/// The directories in `directory`.
fn directories(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            found.push(path);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine of the same name in a run that is added does not take the place of the first one's.
    #[test]
    fn runs_add_up() -> Result<()> {
        let scratch = tempfile::tempdir()?;
        let logs = scratch.path().join("logs");
        for (add, counts) in [(false, [1, 0]), (true, [1, 2])] {
            let machine = run_directory(&logs, b"module", add)?.join("short");
            fs::create_dir_all(&machine)?;
            let says = Event::Counted {
                counts: counts.to_vec(),
            };
            let line = serde_json::json!({ "says": says });
            fs::write(machine.join("events.jsonl"), line.to_string())?;
        }
        assert_eq!(told(&logs)?, [2, 2]);
        assert!(run_directory(&logs, b"another", true).is_err());
        run_directory(&logs, b"another", false)?;
        assert!(told(&logs)?.is_empty());
        Ok(())
    }
}
