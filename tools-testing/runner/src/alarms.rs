// SPDX-License-Identifier: GPL-2.0
//! `alarms`: the module is built with one defect at a time, and the tests that are to catch it have
//! to fail. That they pass on the module as it is, `check` shows.

use crate::build_steps;
use crate::cli::Common;
use crate::parts::exactly;
use crate::paths::Paths;
use crate::progress::{seconds, Screen};
use crate::report::Verdict;
use crate::select::Selection;
use crate::table::{table, Align};
use anyhow::{bail, Context, Result};
use clap::ValueEnum;
use serde::Deserialize;
use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// All defects.
const DEFECTS: &str = include_str!("../alarms.toml");

/// How many `check` tries.
pub const IN_CHECK: usize = 2;

/// What the module is built of, and what machines are built of besides the tools.
const SOURCE: [&str; 5] = ["Kbuild", "Makefile", "include", "rust", "samples"];

/// What its build and the tests use besides, and what unit tests are in.
const TOOLS: &str = "tools-testing";

/// A change of one file.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defect {
    /// Its name; as a test it is called `alarms/NAME`.
    pub name: String,
    /// What it breaks, in a sentence.
    breaks: String,
    /// Where it is.
    file: PathBuf,
    /// What is there once.
    find: String,
    /// What is there instead.
    replace: String,
    /// The tests of which one has to fail, as patterns.
    caught_by: Vec<String>,
    /// What has to run for them, where they are not run by their names, as patterns.
    #[serde(default)]
    by_running: Vec<String>,
    /// Seconds after which a machine is ended that may hang.
    limit_s: Option<u64>,
    /// Minutes that random tests are enough for.
    minutes: Option<u64>,
    /// Whether it takes so little time that `check` may try it.
    #[serde(default)]
    cheap: bool,
}

/// The defects of which `patterns` select the name.
pub fn selected(patterns: &Selection) -> Result<Vec<Defect>> {
    let mut defects = all()?;
    defects.retain(|defect| patterns.has(&defect.test()));
    Ok(defects)
}

/// `count` of those that are cheap, others for another seed.
pub fn some_cheap(defects: Vec<Defect>, seed: u64, count: usize) -> Vec<Defect> {
    let mut cheap: Vec<_> = defects.into_iter().filter(|defect| defect.cheap).collect();
    if !cheap.is_empty() {
        let first = (seed % cheap.len() as u64) as usize;
        cheap.rotate_left(first);
    }
    cheap.truncate(count);
    cheap
}

fn all() -> Result<Vec<Defect>> {
    #[derive(Deserialize)]
    struct File {
        defect: Vec<Defect>,
    }
    let mut file: File = toml::from_str(DEFECTS).context("alarms.toml")?;
    for defect in &mut file.defect {
        let patterns = defect.caught_by.iter_mut().chain(&mut defect.by_running);
        patterns.for_each(|pattern| *pattern = whole(pattern));
    }
    Ok(file.defect)
}

/// A pattern for names as a whole: what is no glob would also be found inside others, as are those
/// of tests on other kernels.
fn whole(pattern: &str) -> String {
    match pattern.contains(['*', '?', '[']) {
        true => pattern.to_owned(),
        false => exactly(pattern),
    }
}

/// Tries the defects that `patterns` select, or `count` of the cheap ones among them, and prints
/// who caught them; whether each was caught.
pub fn run(common: &Common, patterns: &[String], count: Option<usize>) -> Result<bool> {
    let paths = Paths::new(common)?;
    let screen = Screen::new();
    let mut defects = selected(&Selection::new(patterns)?)?;
    if let Some(count) = count {
        defects = some_cheap(defects, common.random.seed, count);
    }
    if defects.is_empty() {
        bail!("no defect has such a name");
    }
    let (mut rows, mut missed) = (Vec::new(), 0);
    for defect in &defects {
        let step = screen.step(format!("{}: {}", defect.name, defect.breaks));
        let tried = defect.try_out(&paths, common, |line| step.note(line))?;
        drop(step);
        let caught = match tried.verdict() {
            Verdict::NotOk(reason, lines) => {
                missed += 1;
                screen.line(format!("not ok  {}: {reason}", defect.test()));
                let lines = lines.iter().map(|line| format!("    | {line}"));
                lines.for_each(|line| screen.line(line));
                "NOTHING".to_owned()
            }
            _ => {
                let took = seconds(tried.took);
                screen.line(format!("ok      {:<60} {took:>8}", defect.test()));
                several(&tried.caught)
            }
        };
        let took = tried.took.as_secs().to_string();
        let meant = defect.caught_by.join(", ").replace(['[', ']'], "");
        rows.push(vec![defect.name.clone(), meant, caught, took]);
    }
    let columns = ["defect", "is to be caught by", "was caught by"].map(|name| (name, Align::Left));
    let columns = [&columns[..], &[("s", Align::Right)]].concat();
    let lines = table(&columns, &rows);
    lines.iter().for_each(|line| println!("{line}"));
    println!("{} defects caught, {missed} not", rows.len() - missed);
    Ok(missed == 0)
}

/// The first of some names, and how many more there are.
fn several(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [name] => name.clone(),
        [name, more @ ..] => format!("{name} (and {} more)", more.len()),
    }
}

/// What came of a defect.
pub struct Tried {
    /// Tests that were to catch it and did.
    caught: Vec<String>,
    /// Why that counts for nothing, or there are none.
    reason: String,
    /// What was said.
    lines: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

impl Tried {
    /// Whether it was caught.
    pub fn verdict(&self) -> Verdict {
        match self.caught.is_empty() {
            false => Verdict::Ok,
            true => Verdict::NotOk(self.reason.clone(), self.lines.clone()),
        }
    }
}

impl Defect {
    /// What it is called as a test.
    pub fn test(&self) -> String {
        format!("alarms/{}", self.name)
    }

    /// Runs the tests on the module with the defect, by another runner. `each` sees what that says.
    pub fn try_out(&self, paths: &Paths, common: &Common, each: impl FnMut(&str)) -> Result<Tried> {
        let begun = Instant::now();
        let tree = self.tree(&paths.source)?;
        let logs = paths.logs.join(self.test());
        let accel = common.accel.to_possible_value();
        let accel = accel.context("there is no such way to run machines")?;
        let mut runner = Command::new(env::current_exe()?);
        runner
            .arg("--source")
            .arg(tree)
            .arg("--cache")
            .arg(&common.cache)
            .args(
                common
                    .kernels
                    .iter()
                    .flat_map(|dir| ["--kernels".as_ref(), dir.as_os_str()]),
            )
            .arg("--kernel")
            .arg(&common.kernel)
            .args(["--accel", accel.get_name()])
            .arg("--keep-logs")
            .arg(&logs)
            .arg(format!("--seed={}", common.random.seed))
            .args(self.limit_s.map(|seconds| format!("--timeout={seconds}")))
            .args(self.minutes.map(|minutes| format!("--minutes={minutes}")))
            .args(["check", "--tests"])
            .args(self.caught_by.iter().chain(&self.by_running));
        let output = build_steps::run(&mut runner, &logs.join("check.log"), each)?;
        let meant = Selection::new(&self.caught_by)?;
        let failed = failures(&output.lines);
        let caught = failed.iter().filter(|(name, _)| meant.has(name));
        let built = failed
            .iter()
            .find(|(name, _)| name.starts_with("module/build-"));
        let reason = match failed.is_empty() && !output.ok {
            true => "the tests did not run",
            false => "no test has caught it that is to",
        };
        let mut tried = Tried {
            caught: caught.map(|(name, _)| (*name).to_owned()).collect(),
            reason: reason.into(),
            lines: output.tail(12),
            took: begun.elapsed(),
        };
        if built.is_some() {
            tried.caught.clear();
            tried.reason = "it does not build".into();
            let errors = output.lines.iter().filter(|line| line.contains("error"));
            tried.lines = errors.cloned().collect();
        }
        Ok(tried)
    }

    /// A copy of the source with the defect in it. What is the same as in the last one keeps its
    /// time, and what was built of it is used again.
    fn tree(&self, source: &Path) -> Result<PathBuf> {
        let text = self.broken(source)?;
        // Unit tests are built of the module's files beside theirs.
        let is_on_host = self.caught_by.iter().all(|test| test.starts_with("host/"));
        let name = if is_on_host { "host" } else { "module" };
        let tree = source.join("build/alarms").join(name);
        fs::create_dir_all(&tree).with_context(|| tree.display().to_string())?;
        let tools = tree.join(TOOLS);
        if !is_on_host && !tools.exists() {
            symlink(source.join(TOOLS), &tools).with_context(|| tools.display().to_string())?;
        }
        let tools = is_on_host.then_some(TOOLS);
        let parts: Vec<_> = SOURCE.into_iter().chain(tools).collect();
        build_steps::copy(source, &parts, &tree)?;
        let file = tree.join(&self.file);
        fs::write(&file, text).with_context(|| file.display().to_string())?;
        Ok(tree)
    }

    /// The text of the file with the defect in it.
    fn broken(&self, source: &Path) -> Result<String> {
        let text = fs::read_to_string(source.join(&self.file))
            .with_context(|| format!("{}: {}", self.name, self.file.display()))?;
        match text.matches(&self.find).count() {
            1 => Ok(text.replacen(&self.find, &self.replace, 1)),
            n => bail!(
                "{}: {} has the text to replace {n} times:\n{}",
                self.name,
                self.file.display(),
                self.find
            ),
        }
    }
}

/// The tests that failed by what `check` has printed, each with its reason.
fn failures(lines: &[String]) -> Vec<(&str, &str)> {
    let failed = lines
        .iter()
        .filter_map(|line| line.strip_prefix("not ok  "));
    failed.filter_map(|line| line.split_once(": ")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_text_to_replace_is_there_once() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let broken = all()
            .unwrap()
            .into_iter()
            .map(|defect| defect.broken(&source));
        let errors: Vec<_> = broken
            .filter_map(Result::err)
            .map(|e| format!("{e:#}"))
            .collect();
        assert!(errors.is_empty(), "{}", errors.join("\n"));
    }

    #[test]
    fn defects_have_names_of_their_own_and_change_something() {
        let defects = all().unwrap();
        let names: BTreeSet<_> = defects.iter().map(|defect| &defect.name).collect();
        assert_eq!(names.len(), defects.len());
        assert!(names.len() >= 24);
        let is_fine = |d: &&Defect| d.find != d.replace && !d.caught_by.is_empty();
        assert!(defects.iter().all(|defect| is_fine(&defect)));
    }

    #[test]
    fn the_seed_chooses_among_the_cheap_ones() {
        let chosen = |seed, count| some_cheap(all().unwrap(), seed, count);
        let first = chosen(7, IN_CHECK);
        assert_eq!(first.len(), IN_CHECK);
        assert!(first.iter().all(|defect| defect.cheap));
        assert_ne!(first[0].name, chosen(8, 1)[0].name);
        assert!(chosen(0, usize::MAX).len() < all().unwrap().len());
    }

    #[test]
    fn what_failed_is_read() {
        let text =
            "ok      a/b   1.0 s\nnot ok  host/races/tests::poll::x: it failed\n    | not ok\n";
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        assert_eq!(
            failures(&lines),
            [("host/races/tests::poll::x", "it failed")]
        );
        assert_eq!(several(&["a".into(), "b".into()]), "a (and 1 more)");
    }
}
