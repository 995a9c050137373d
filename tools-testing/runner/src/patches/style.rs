// SPDX-License-Identifier: GPL-2.0
//! What can be said of a patch without a machine: that it applies, and what checkpatch thinks.

use super::diff::FileDiff;
use super::patch::Patch;
use crate::paths::{Kernel, Paths};
use crate::report::Verdict;
use anyhow::Result;
use std::fs;
use std::process::Command;

/// What of checkpatch does not fit: who sends a patch signs it, and which commits there are, it
/// can only tell in a clone of the kernel.
const CHECKPATCH: [&str; 7] = [
    "--strict",
    "--quiet",
    "--no-summary",
    "--terse",
    "--no-signoff",
    "--ignore",
    "UNKNOWN_COMMIT_ID",
];

/// Whether it applies, as it is, to the source of each series that needs it and is at hand.
pub fn applies(patch: &Patch, kernels: &[Kernel]) -> Verdict {
    match apply_to_all(patch, kernels) {
        Ok(lines) if lines.is_empty() => Verdict::Ok,
        Ok(lines) => Verdict::NotOk(lines[0].clone(), lines[1..].to_vec()),
        Err(error) => Verdict::NotOk(format!("{error:#}"), Vec::new()),
    }
}

/// What is wrong, in lines.
fn apply_to_all(patch: &Patch, kernels: &[Kernel]) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let diffs = patch.diffs()?;
    let mut tried = 0;
    for kernel in kernels {
        let source = kernel.source();
        // Of a stock kernel's source only a part is kept.
        let is_there = |file: &FileDiff| file.is_new || source.join(&file.path).exists();
        let is_whole = diffs.iter().all(is_there);
        if !patch.series.contains(&series(&kernel.release)) || !is_whole {
            continue;
        }
        tried += 1;
        for file in &diffs {
            let applied = file.read(&source).and_then(|text| file.apply(&text));
            if let Err(error) = applied {
                let label = &kernel.label;
                wrong.push(format!(
                    "it does not apply to the source of {label}: {error:#}"
                ));
            }
        }
    }
    if tried == 0 {
        let series = patch.series.join(", ");
        wrong.push(format!(
            "no source of Linux {series} is at hand that has its files: make check gets them"
        ));
    }
    Ok(wrong)
}

/// Whether checkpatch, of the newest source at hand, has nothing to say.
pub fn checkpatch(paths: &Paths, patch: &Patch, kernels: &[Kernel]) -> Verdict {
    match fs::read(&patch.path) {
        Ok(text) if text.is_ascii() => {}
        Ok(_) => return Verdict::NotOk("it has letters that are not ASCII".into(), Vec::new()),
        Err(error) => return Verdict::NotOk(error.to_string(), Vec::new()),
    }
    // It wants a whole tree for some of its checks, which only debug kernels keep.
    let whole = |kernel: &&Kernel| kernel.source().join("Documentation").exists();
    let newest = kernels
        .iter()
        .filter(whole)
        .max_by_key(|kernel| version(&kernel.release));
    let (kernel, flags) = match (newest, kernels.first()) {
        (Some(kernel), _) => (kernel, None),
        (None, Some(kernel)) => (kernel, Some("--no-tree")),
        (None, None) => return Verdict::NotOk("no kernel's source is at hand".into(), Vec::new()),
    };
    let output = Command::new("perl")
        // Two modules that it wants and that may not be installed.
        .arg("-I")
        .arg(paths.source.join("tools-testing/checkpatch"))
        .arg("scripts/checkpatch.pl")
        .args(CHECKPATCH)
        .args(flags)
        .arg(&patch.path)
        .current_dir(kernel.source())
        .output();
    match output {
        Err(error) => Verdict::NotOk(format!("starting checkpatch: {error}"), Vec::new()),
        Ok(output) => {
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            let mut lines = said.lines().filter(|line| !line.trim().is_empty());
            match (lines.next(), output.status.success()) {
                (None, true) => Verdict::Ok,
                (first, _) => Verdict::NotOk(
                    format!("checkpatch: {}", first.unwrap_or("it fails")),
                    lines.map(str::to_owned).collect(),
                ),
            }
        }
    }
}

/// `7.3` of `7.3.4+deb13-amd64`.
pub fn series(release: &str) -> String {
    let version = release.split(['+', '-']).next().unwrap_or(release);
    let numbers: Vec<_> = version.split('.').take(2).collect();
    numbers.join(".")
}

/// The numbers of a release, for comparison.
fn version(release: &str) -> Vec<u32> {
    let version = release.split(['+', '-']).next().unwrap_or(release);
    version
        .split('.')
        .map_while(|number| number.parse().ok())
        .collect()
}

/// All kernels whose source is at hand.
pub fn kernels(paths: &Paths) -> Result<Vec<Kernel>> {
    let mut kernels = paths.at_hand()?;
    kernels.retain(|kernel| kernel.source().exists());
    Ok(kernels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_releases() {
        assert_eq!(series("7.3.4+deb13-amd64"), "7.3");
        assert_eq!(series("7.3.4"), "7.3");
        assert_eq!(series("7.4-rc1"), "7.4");
    }

    #[test]
    fn versions_are_numbers() {
        assert!(version("7.10.1+deb13") > version("7.9.12"));
        assert_eq!(version("7.3.4+deb13-rt-amd64"), [7, 3, 4]);
    }
}
