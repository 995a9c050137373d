// SPDX-License-Identifier: GPL-2.0
//! All tests, by name, and those of them that are chosen.

use super::machines::{
    self, Chosen, Facts, Machine, Test, Which, LEFT_OUT_UNDER_RT, ONLY_IF_ASKED,
};
use super::names::{LINT, MODINFO, OF_FILE, OF_SOURCE};
use crate::alarms::{self, Defect, IN_CHECK};
use crate::build_steps::{cargo, stdout};
use crate::cli::Common;
use crate::parts::Programs;
use crate::patches;
use crate::paths::{Kernel, Kind, Paths};
use crate::select::Selection;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The kernel that everything is run on.
pub const MAIN: Which = Which::Main(Kind::Stock);

/// A crate of the workspace.
pub struct Crate {
    /// What cargo calls it.
    pub name: String,
    /// Where it is.
    pub directory: PathBuf,
}

/// The chosen tests.
pub struct Catalog {
    /// Those that run in machines; no machine without one.
    pub machines: Vec<(&'static dyn Machine, Vec<Test>)>,
    /// Facts of the module file.
    pub modinfo: Vec<(&'static str, Option<&'static str>)>,
    /// Checks of the module file and its source.
    pub module: Vec<&'static str>,
    /// Crates of the workspace whose unit tests run.
    pub crates: Vec<Crate>,
    /// Checks of the workspace's source and of the documents.
    pub lint: Vec<&'static str>,
    /// Checks of the patches.
    pub patches: Vec<String>,
    /// What the module is broken by on purpose.
    pub alarms: Vec<Defect>,
    /// Groups of tests that would have been chosen, but have no place on their kernel.
    pub left_out: Vec<String>,
}

impl Catalog {
    /// What `selection` chooses of all there is, on the kernel to boot and on those `beside` it.
    pub fn new(
        paths: &Paths,
        programs: &Programs,
        common: &Common,
        selection: &Selection,
        beside: &[(String, Kernel)],
    ) -> Result<Self> {
        let module = !common.no_module;
        let facts = Facts {
            cases: cases(programs, &[])?,
            failing_allocations: cases(programs, &["--failing-allocations"])?,
            module,
            long: common.random.minutes.is_some(),
            times: common.random.times.is_some(),
        };
        let main_is_rt = paths.of_kind(Kind::Stock).is_ok_and(|main| main.is_rt());
        let mut left_out = Vec::new();
        let machines = machines::all(beside).into_iter().map(|machine| {
            let mut tests = of_machine(machine, &facts, selection);
            let prefix = match machine.kernel() {
                MAIN if main_is_rt => Some(String::new()),
                Which::Beside(index) if beside[index].1.is_rt() => {
                    Some(format!("{}/", beside[index].0))
                }
                _ => None,
            };
            if let Some(prefix) = prefix {
                leave_out(&mut tests, &prefix, &mut left_out);
            }
            (machine, tests)
        });
        let machines: Vec<_> = machines.collect();
        let chosen = |group: &str, names: &[&'static str]| -> Vec<&'static str> {
            let names = names.iter().copied();
            names
                .filter(|name| selection.has(&join(group, name)))
                .collect()
        };
        let module_checks = match module {
            true => [&OF_FILE[..], &OF_SOURCE].concat(),
            false => Vec::new(),
        };
        let modinfo = MODINFO
            .into_iter()
            .filter(|(field, _)| module && selection.has(&join("modinfo", field)));
        Ok(Catalog {
            machines: machines
                .into_iter()
                .filter(|(_, tests)| !tests.is_empty())
                .collect(),
            left_out,
            modinfo: modinfo.collect(),
            module: chosen("module", &module_checks),
            crates: crates(paths)?
                .into_iter()
                .filter(|of| selection.may_have_in(&join("host", &of.name)))
                .collect(),
            lint: chosen("", &LINT),
            patches: patches::checks(paths)?
                .into_iter()
                .filter(|check| selection.has(check))
                .collect(),
            alarms: match selection {
                _ if !module || !selection.may_have_in("alarms") => Vec::new(),
                all if all.is_all() => {
                    alarms::some_cheap(alarms::selected(all)?, common.random.seed, IN_CHECK)
                }
                some => alarms::selected(some)?,
            },
        })
    }

    /// The kernels that tests are chosen on, and whether they want our module for it.
    pub fn kernels(&self) -> Vec<(Which, bool)> {
        let mut kernels = Vec::new();
        let wants_file =
            !self.modinfo.is_empty() || self.module.iter().any(|name| OF_FILE.contains(name));
        if wants_file {
            kernels.push((MAIN, true));
        }
        for (machine, tests) in &self.machines {
            let wants = tests.iter().any(|test| test.wants_module);
            match kernels.iter_mut().find(|(of, _)| *of == machine.kernel()) {
                Some((_, module)) => *module |= wants,
                None => kernels.push((machine.kernel(), wants)),
            }
        }
        kernels
    }

    /// Takes the tests away that want our module for that kernel; returns their names.
    pub fn take_those_of_module(&mut self, kernel: Which) -> Vec<String> {
        self.take(
            |machine, test| machine.kernel() == kernel && test.wants_module,
            kernel == MAIN,
        )
    }

    /// Takes the tests away that want that kernel; returns their names.
    pub fn take_those_of_kernel(&mut self, kernel: Which) -> Vec<String> {
        self.take(|machine, _| machine.kernel() == kernel, false)
    }

    fn take(&mut self, taken: impl Fn(&dyn Machine, &Test) -> bool, file: bool) -> Vec<String> {
        let before = self.names();
        for (machine, tests) in &mut self.machines {
            tests.retain(|test| !taken(*machine, test));
        }
        self.machines.retain(|(_, tests)| !tests.is_empty());
        if file {
            self.modinfo.clear();
            self.module.retain(|name| !OF_FILE.contains(name));
        }
        let after = self.names();
        before
            .into_iter()
            .filter(|name| !after.contains(name))
            .collect()
    }

    /// The names, in the order of the list. Of a crate's tests only the crate is known.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for (_, tests) in &self.machines {
            names.extend(tests.iter().map(|test| test.name.clone()));
        }
        names.extend(self.modinfo.iter().map(|(field, _)| join("modinfo", field)));
        names.extend(self.module.iter().map(|name| join("module", name)));
        names.extend(self.crates.iter().map(|of| join("host", &of.name)));
        names.extend(self.lint.iter().map(|name| (*name).to_owned()));
        names.extend(self.patches.iter().cloned());
        names.extend(self.alarms.iter().map(Defect::test));
        names
    }
}

/// Takes the tests away that a kernel with `PREEMPT_RT` has no place for, and adds their groups to
/// `left_out`. Their names begin with `prefix`.
fn leave_out(tests: &mut Vec<Test>, prefix: &str, left_out: &mut Vec<String>) {
    for group in LEFT_OUT_UNDER_RT {
        let group = format!("{prefix}{group}");
        let is_in = |test: &Test| {
            let rest = test.name.strip_prefix(&group);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let before = tests.len();
        tests.retain(|test| !is_in(test));
        if tests.len() < before {
            left_out.push(group);
        }
    }
}

/// The names of these tests.
pub fn chosen(tests: &[Test]) -> Chosen {
    Chosen(tests.iter().map(|test| test.name.clone()).collect())
}

/// The chosen tests of a machine.
fn of_machine(machine: &dyn Machine, facts: &Facts, selection: &Selection) -> Vec<Test> {
    if ONLY_IF_ASKED.contains(&machine.name()) && selection.is_all() {
        return Vec::new();
    }
    let mut all = machine.tests(facts);
    all.retain(|test| facts.module || !test.wants_module);
    let is_chosen = |test: &&Test| selection.has(&test.name);
    if all.iter().any(|test| test.wants_others && is_chosen(&test)) {
        return all;
    }
    all.iter().filter(is_chosen).cloned().collect()
}

fn join(group: &str, name: &str) -> String {
    match group {
        "" => name.to_owned(),
        group => format!("{group}/{name}"),
    }
}

fn cases(programs: &Programs, flags: &[&str]) -> Result<Vec<String>> {
    let path = programs
        .get("kvm-xen-selftests")
        .context("cargo has built no kvm-xen-selftests")?;
    let text = stdout(Command::new(path).arg("--list").args(flags))?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn crates(paths: &Paths) -> Result<Vec<Crate>> {
    let mut metadata = cargo(paths, &["metadata", "--no-deps", "--format-version=1"]);
    let metadata: serde_json::Value = serde_json::from_str(&stdout(&mut metadata)?)?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let mut crates: Vec<Crate> = packages
        .filter_map(|package| {
            let manifest = Path::new(package["manifest_path"].as_str()?);
            Some(Crate {
                name: package["name"].as_str()?.to_owned(),
                directory: manifest.parent()?.to_owned(),
            })
        })
        .collect();
    crates.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(crates)
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::Side;

    #[test]
    fn what_hangs_c_is_left_out_under_rt() {
        let names = [
            "selftests/c/ports/send",
            "selftests/case",
            "guest/migration/c-to-c",
        ];
        let tests = |prefix: &str| -> Vec<Test> {
            let tests = names
                .iter()
                .map(|name| Test::on(Side::C, format!("{prefix}{name}")));
            tests.collect()
        };
        let mut left_out = Vec::new();
        let (mut main, mut beside) = (tests(""), tests("7.3-rt/"));
        leave_out(&mut main, "", &mut left_out);
        leave_out(&mut beside, "7.3-rt/", &mut left_out);
        assert_eq!(chosen(&main).0, ["selftests/case"]);
        assert_eq!(chosen(&beside).0, ["7.3-rt/selftests/case"]);
        let groups = ["selftests/c", "guest/migration"];
        let groups = groups.iter().chain(&groups).enumerate();
        let expected: Vec<_> = groups
            .map(|(at, group)| format!("{}{group}", if at < 2 { "" } else { "7.3-rt/" }))
            .collect();
        assert_eq!(left_out, expected);
    }
}
