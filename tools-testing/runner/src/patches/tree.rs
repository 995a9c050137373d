// SPDX-License-Identifier: GPL-2.0
//! A copy of a debug kernel's built source, in which KVM's modules are built with one patch at a
//! time. The source itself is what other things are built against, and stays as it is.

use super::patch::Patch;
use crate::build_steps::{self, bare_make};
use crate::paths::{Kernel, Paths};
use anyhow::{bail, Context, Result};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

/// What is built: KVM, and what it needs of what is no part of the kernel's image.
const TARGETS: [&str; 4] = [
    "virt/lib/irqbypass.ko",
    "arch/x86/kvm/kvm.ko",
    "arch/x86/kvm/kvm-amd.ko",
    "arch/x86/kvm/kvm-intel.ko",
];

/// Has the names of the files that may differ from those of the source.
const TOUCHED: &str = "touched";

/// Lines of a build's output that are shown when it fails.
const TAIL: usize = 30;

/// The copy.
pub struct Tree {
    directory: PathBuf,
    source: PathBuf,
    touched: PathBuf,
    logs: PathBuf,
}

impl Tree {
    /// The copy of that kernel's source, made when there is none.
    pub fn new(paths: &Paths, kernel: &Kernel) -> Result<Self> {
        let source = kernel.source().canonicalize()?;
        let key = source
            .parent()
            .and_then(Path::file_name)
            .unwrap_or_default();
        let key = key.to_string_lossy();
        let above = paths.source.join("build/upstream");
        let directory = above.join("source").join(&*key);
        if !directory.exists() {
            remove_others(&above.join("source"), &key)?;
            let partial = above.join("source.partial");
            remove(&partial)?;
            fs::create_dir_all(above.join("source"))?;
            let copied = Command::new("cp")
                .args(["--archive", "--reflink=auto"])
                .arg(&source)
                .arg(&partial)
                .status()
                .context("starting cp")?;
            if !copied.success() {
                bail!(
                    "cp has not copied {} to {}",
                    source.display(),
                    partial.display()
                );
            }
            fs::rename(&partial, &directory).with_context(|| directory.display().to_string())?;
        }
        Ok(Tree {
            touched: above.join(format!("{TOUCHED}-{key}")),
            logs: paths.logs.join("host"),
            directory,
            source,
        })
    }

    /// Builds KVM's modules with that patch; returns where they are, for as long as no other is
    /// built.
    pub fn build(&self, patch: &Patch, each: impl FnMut(&str)) -> Result<Vec<PathBuf>> {
        self.restore(&patch.files)?;
        for file in patch.diffs()? {
            let path = self.directory.join(&file.path);
            let text = fs::read_to_string(&path);
            let text = text.with_context(|| path.display().to_string())?;
            fs::write(&path, file.apply(&text)?).with_context(|| path.display().to_string())?;
        }
        let mut make = bare_make();
        make.args(["LLVM=1", &format!("-j{}", jobs())])
            .args(TARGETS)
            // bindgen's output is too deep for rustfmt's default stack.
            .env("RUST_MIN_STACK", "67108864")
            .current_dir(&self.directory);
        let log = self.logs.join(format!("upstream-{}-build.log", patch.name));
        let output = build_steps::run(&mut make, &log, each)?;
        if !output.ok {
            bail!(
                "KVM does not build with it:\n{}",
                output.tail(TAIL).join("\n")
            );
        }
        Ok(TARGETS.map(|target| self.directory.join(target)).into())
    }

    /// Takes back what was patched last, and notes what is patched next.
    fn restore(&self, next: &[String]) -> Result<()> {
        let before = fs::read_to_string(&self.touched).unwrap_or_default();
        let files: BTreeSet<&str> = before
            .lines()
            .chain(next.iter().map(String::as_str))
            .collect();
        let list: Vec<&str> = files.iter().copied().collect();
        fs::write(&self.touched, list.join("\n") + "\n")
            .with_context(|| self.touched.display().to_string())?;
        for file in files {
            let (from, to) = (self.source.join(file), self.directory.join(file));
            let right = fs::read(&from).with_context(|| from.display().to_string())?;
            // What is the same keeps its time, so that it is not built again.
            if fs::read(&to).ok().as_deref() != Some(right.as_slice()) {
                fs::write(&to, right).with_context(|| to.display().to_string())?;
            }
        }
        Ok(())
    }
}

fn jobs() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Removes the copies of what was that kernel's source before: two and a half gigabytes each.
fn remove_others(directory: &Path, key: &str) -> Result<()> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Ok(());
    };
    for entry in entries {
        let entry = entry?;
        if stem(&entry.file_name().to_string_lossy()) == stem(key) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// A name without what is behind its last hyphen.
fn stem(name: &str) -> &str {
    name.rsplit_once('-').map_or(name, |(stem, _)| stem)
}

fn remove(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory).with_context(|| directory.display().to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_of_the_same_kernel_go_and_no_others() {
        let directory = tempfile::tempdir().unwrap();
        let make = |name: &str| fs::create_dir(directory.path().join(name)).unwrap();
        ["k-7.3-debug-1", "k-7.3-debug-2", "k-7.3-debug-rt-1"].map(make);
        remove_others(directory.path(), "k-7.3-debug-3").unwrap();
        let left = fs::read_dir(directory.path()).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["k-7.3-debug-rt-1"]);
        remove_others(&directory.path().join("none"), "k").unwrap();
    }
}
