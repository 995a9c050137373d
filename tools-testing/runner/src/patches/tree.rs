// SPDX-License-Identifier: GPL-2.0
//! A copy of a debug kernel's built source, in which parts of it are built with patches. The source
//! itself is what other things are built against, and stays as it is.

use super::patch::Patch;
use crate::build_steps::{self, bare_make};
use crate::paths::{Kernel, Paths};
use anyhow::{bail, Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

/// What is built: KVM, and what it needs of what is no part of the kernel's image.
const KVM: [&str; 4] = [
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
    /// The copy of that kernel's source for one purpose, made when there is none.
    pub fn new(paths: &Paths, kernel: &Kernel, purpose: &str) -> Result<Self> {
        let source = kernel.source().canonicalize()?;
        let key = source
            .parent()
            .and_then(Path::file_name)
            .unwrap_or_default();
        let key = key.to_string_lossy();
        let above = paths.source.join("build").join(purpose);
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

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Builds KVM's modules with that patch; returns where they are, for as long as no other is
    /// built.
    pub fn kvm(&self, patch: &Patch, each: impl FnMut(&str)) -> Result<Vec<PathBuf>> {
        self.apply(&[patch])?;
        self.make(&KVM, &format!("upstream-{}", patch.name), each)?;
        Ok(KVM.map(|target| self.directory.join(target)).into())
    }

    /// Runs `make`; its output goes to a log of that name.
    pub fn make(&self, arguments: &[&str], log: &str, each: impl FnMut(&str)) -> Result<()> {
        let mut make = bare_make();
        make.args(["LLVM=1", &format!("-j{}", jobs())])
            .args(arguments)
            // bindgen's output is too deep for rustfmt's default stack.
            .env("RUST_MIN_STACK", "67108864")
            .current_dir(&self.directory);
        let log = self.logs.join(format!("{log}-build.log"));
        let output = build_steps::run(&mut make, &log, each)?;
        if !output.ok {
            let tail = output.tail(TAIL).join("\n");
            bail!("the kernel does not build with it:\n{tail}");
        }
        Ok(())
    }

    /// Has the copy's config say this, in its words, where it does not yet.
    pub fn configure(&self, lines: &[&str]) -> Result<()> {
        let path = self.directory.join(".config");
        let read = || fs::read_to_string(&path).with_context(|| path.display().to_string());
        let lacks = |text: &str| -> Vec<&str> {
            let has = |line: &str| text.lines().any(|it| it == line);
            lines.iter().copied().filter(|line| !has(line)).collect()
        };
        let text = read()?;
        let missing = lacks(&text);
        if missing.is_empty() {
            return Ok(());
        }
        let text = text + &missing.join("\n") + "\n";
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        self.make(&["olddefconfig"], "olddefconfig", |_| {})?;
        match lacks(&read()?).first() {
            Some(line) => bail!("the kernel's kconfig does not take {line}"),
            None => Ok(()),
        }
    }

    /// Has the copy be the source with these patches, one after the other, and no others.
    pub fn apply(&self, patches: &[&Patch]) -> Result<()> {
        let before = fs::read_to_string(&self.touched).unwrap_or_default();
        let mut texts: BTreeMap<String, Option<String>> = BTreeMap::new();
        for name in before.lines() {
            let path = self.source.join(name);
            texts.insert(name.to_owned(), fs::read_to_string(path).ok());
        }
        for patch in patches {
            for file in patch.diffs()? {
                let text = match texts.get_mut(&file.path).and_then(Option::take) {
                    Some(text) => text,
                    None => file.read(&self.source)?,
                };
                texts.insert(file.path.clone(), Some(file.apply(&text)?));
            }
        }
        let list: Vec<&str> = texts.keys().map(String::as_str).collect();
        fs::write(&self.touched, list.join("\n") + "\n")
            .with_context(|| self.touched.display().to_string())?;
        for (name, text) in &texts {
            let path = self.directory.join(name);
            // What is the same keeps its time, so that it is not built again.
            let done = match (text, fs::read_to_string(&path)) {
                (Some(text), Ok(there)) if *text == there => Ok(()),
                (Some(text), _) => fs::write(&path, text),
                (None, Ok(_)) => fs::remove_file(&path),
                (None, Err(_)) => Ok(()),
            };
            done.with_context(|| path.display().to_string())?;
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
