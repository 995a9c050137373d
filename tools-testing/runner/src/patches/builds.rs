// SPDX-License-Identifier: GPL-2.0
//! Whether what a patch changes builds for each series that needs it: as a module elsewhere, of the
//! changed files alone, so that the kernel's source stays as it is.

use super::patch::Patch;
use super::style::series;
use crate::build_steps::{self, bare_make};
use crate::paths::{Kernel, Paths};
use crate::report::Verdict;
use anyhow::{bail, Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Where the kernel has what the changed files include.
const INCLUDES: [&str; 2] = ["arch/x86/kvm", "virt/kvm"];

/// Lines of a build's output that are shown when it fails.
const TAIL: usize = 30;

/// Whether it builds for one of the archive's kernels of each series that is at hand.
pub fn verdict(paths: &Paths, patch: &Patch, kernels: &[Kernel]) -> Verdict {
    let of_archive = kernels.iter().filter(|kernel| !kernel.is_debug());
    let by_series = of_archive.map(|kernel| (series(&kernel.release), kernel));
    let mut by_series: BTreeMap<String, &Kernel> = by_series.collect();
    by_series.retain(|series, _| patch.series.contains(series));
    if by_series.is_empty() {
        let reason = format!("no kernel of Linux {} is at hand", patch.series.join(", "));
        return Verdict::NotOk(reason, Vec::new());
    }
    let tried = by_series.iter().try_for_each(|(series, kernel)| {
        build(paths, patch, kernel).with_context(|| format!("for Linux {series}"))
    });
    match tried {
        Ok(()) => Verdict::Ok,
        Err(error) => {
            let text = format!("{error:#}");
            let mut lines = text.lines().map(str::to_owned);
            Verdict::NotOk(lines.next().unwrap_or_default(), lines.collect())
        }
    }
}

fn build(paths: &Paths, patch: &Patch, kernel: &Kernel) -> Result<()> {
    let source = kernel.source();
    let name = format!("upstream-{}-{}", patch.name, series(&kernel.release));
    let scratch = tempfile::tempdir().context("making a directory")?;
    let mut goals = Vec::new();
    for file in patch.diffs()? {
        let from = source.join(&file.path);
        let text = fs::read_to_string(&from).with_context(|| from.display().to_string())?;
        let base = Path::new(&file.path).file_name().context("it has a name")?;
        fs::write(scratch.path().join(base), file.apply(&text)?)?;
        let base = base.to_string_lossy();
        goals.extend(base.strip_suffix(".c").map(|stem| format!("{stem}.o")));
    }
    let includes = INCLUDES.map(|directory| format!("-I$(srctree)/{directory}"));
    let kbuild = format!(
        "obj-m := {}\nccflags-y := -Werror {}\n",
        goals.join(" "),
        includes.join(" ")
    );
    fs::write(scratch.path().join("Kbuild"), kbuild)?;
    let mut make = bare_make();
    make.arg("-C")
        .arg(&source)
        .arg(format!("M={}", scratch.path().display()))
        .args(&goals);
    let log = paths.logs.join(format!("host/{name}-build.log"));
    let output = build_steps::run(&mut make, &log, |_| {})?;
    if !output.ok {
        bail!("it does not build:\n{}", output.tail(TAIL).join("\n"));
    }
    Ok(())
}
