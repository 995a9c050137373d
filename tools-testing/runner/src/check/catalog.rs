// SPDX-License-Identifier: GPL-2.0
//! All tests, by name, and those of them that are chosen.

use crate::cli::Common;
use crate::paths::Paths;
use crate::select::Selection;
use anyhow::{bail, Context, Result};
use protocol::Side;
use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;

/// Upstream's tests of KVM's Xen code.
pub const UPSTREAM: [&str; 2] = ["xen_shinfo_test", "xen_vmcall_test"];

/// Facts of the module file, and what each must be.
pub const MODINFO: [(&str, Option<&str>); 5] = [
    ("name", Some("kvm_xen_rs")),
    ("description", None),
    ("license", Some("GPL")),
    ("version", None),
    ("livepatch", Some("Y")),
];

/// The chosen tests.
pub struct Catalog {
    /// Upstream's, on either side.
    pub upstream: Vec<(Side, &'static str)>,
    /// Our selftests: the names of cases, on either side.
    pub selftests: Vec<(Side, Vec<String>)>,
    /// The module's lifecycle.
    pub lifecycle: Vec<&'static str>,
    /// The Xen guest.
    pub guest: bool,
    /// Facts of the module file.
    pub modinfo: Vec<(&'static str, Option<&'static str>)>,
    /// Checks of the module file and its source.
    pub module: Vec<&'static str>,
    /// Crates of the workspace whose unit tests run.
    pub crates: Vec<String>,
    /// Checks of the workspace's source.
    pub lint: Vec<&'static str>,
}

impl Catalog {
    /// What `selection` chooses of all there is.
    pub fn new(
        paths: &Paths,
        programs: &HashMap<String, PathBuf>,
        common: &Common,
        selection: &Selection,
    ) -> Result<Self> {
        let sides: &[Side] = if common.no_module {
            &[Side::C]
        } else {
            &[Side::C, Side::Rust]
        };
        let cases = cases(programs)?;
        let module = !common.no_module;
        let chosen = |group: &str, names: &[&'static str]| -> Vec<&'static str> {
            let names = names.iter().copied();
            names
                .filter(|name| selection.has(&join(group, name)))
                .collect()
        };
        let upstream = sides.iter().flat_map(|&side| {
            let names = chosen(&format!("upstream/{}", side.name()), &UPSTREAM);
            names.into_iter().map(move |name| (side, name))
        });
        let selftests = sides.iter().map(|&side| {
            let of_side = cases
                .iter()
                .filter(|case| selection.has(&selftest(side, case)));
            (side, of_side.cloned().collect::<Vec<_>>())
        });
        let only = |yes, names: &'static [&'static str]| if yes { names } else { &[] };
        let modinfo = MODINFO
            .into_iter()
            .filter(|(field, _)| selection.has(&join("modinfo", field)));
        Ok(Catalog {
            upstream: upstream.collect(),
            selftests: selftests.filter(|(_, cases)| !cases.is_empty()).collect(),
            lifecycle: chosen(
                "lifecycle",
                only(module, &["reinsert", "insert-before-kvm"]),
            ),
            guest: selection.has("guest/xen-hvm"),
            modinfo: if module {
                modinfo.collect()
            } else {
                Vec::new()
            },
            module: chosen("module", only(module, &["no-panic", "rustfmt", "clippy"])),
            crates: crates(paths)?
                .into_iter()
                .filter(|name| selection.may_have_in(&format!("host/{name}")))
                .collect(),
            lint: chosen("", &["fmt", "clippy"]),
        })
    }

    /// Takes the tests away that want our module to be built; returns their names.
    pub fn take_those_of_module(&mut self) -> Vec<String> {
        let before = self.names();
        self.upstream.retain(|(side, _)| *side == Side::C);
        self.selftests.retain(|(side, _)| *side == Side::C);
        self.lifecycle.clear();
        self.guest = false;
        self.modinfo.clear();
        self.module.retain(|name| *name != "no-panic");
        let after = self.names();
        before
            .into_iter()
            .filter(|name| !after.contains(name))
            .collect()
    }

    /// The names, in the order of the list. Of a crate's tests only the crate is known.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        names.extend(
            self.upstream
                .iter()
                .map(|(side, name)| upstream(*side, name)),
        );
        for (side, cases) in &self.selftests {
            names.extend(cases.iter().map(|case| selftest(*side, case)));
        }
        names.extend(self.lifecycle.iter().map(|name| join("lifecycle", name)));
        names.extend(self.guest.then(|| "guest/xen-hvm".to_owned()));
        names.extend(self.modinfo.iter().map(|(field, _)| join("modinfo", field)));
        names.extend(self.module.iter().map(|name| join("module", name)));
        names.extend(self.crates.iter().map(|name| join("host", name)));
        names.extend(self.lint.iter().map(|name| (*name).to_owned()));
        names
    }
}

/// The name of one of upstream's tests.
pub fn upstream(side: Side, name: &str) -> String {
    format!("upstream/{}/{name}", side.name())
}

/// What the names of our cases begin with.
pub fn selftests(side: Side) -> String {
    format!("selftests/{}", side.name())
}

/// The name of one of our cases.
fn selftest(side: Side, case: &str) -> String {
    join(&selftests(side), case)
}

fn join(group: &str, name: &str) -> String {
    match group {
        "" => name.to_owned(),
        group => format!("{group}/{name}"),
    }
}

fn cases(programs: &HashMap<String, PathBuf>) -> Result<Vec<String>> {
    let path = programs
        .get("kvm-xen-selftests")
        .context("cargo has built no kvm-xen-selftests")?;
    let output = Command::new(path)
        .arg("--list")
        .output()
        .context("kvm-xen-selftests --list")?;
    if !output.status.success() {
        bail!(
            "kvm-xen-selftests --list: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().map(str::to_owned).collect())
}

fn crates(paths: &Paths) -> Result<Vec<String>> {
    let mut cargo =
        crate::build_steps::cargo(paths, &["metadata", "--no-deps", "--format-version=1"]);
    let output = cargo.output().context("cargo metadata")?;
    if !output.status.success() {
        bail!(
            "cargo metadata: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let mut names: Vec<String> = packages
        .filter_map(|package| package["name"].as_str().map(str::to_owned))
        .collect();
    names.sort();
    Ok(names)
}
