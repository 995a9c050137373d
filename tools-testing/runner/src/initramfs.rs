// SPDX-License-Identifier: GPL-2.0
//! What a machine boots into: init, its plan, and the files that the plan names.

use crate::build_steps::stdout;
use crate::cpio::Archive;
use crate::modules::{name_of, Modules};
use crate::scratch;
use anyhow::{bail, Context, Result};
use protocol::{KvmModules, Plan, PLAN_PATH};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::NamedTempFile;

/// Built anew for each boot, so that nothing in it is ever stale.
pub struct Initramfs {
    archive: Archive,
    files: BTreeSet<String>,
}

impl Initramfs {
    /// With `init` in it.
    pub fn new(init: &Path) -> Result<Self> {
        let mut archive = Archive::default();
        // The kernel opens the console before init has mounted anything.
        archive.device("/dev/console", 5, 1);
        for directory in ["/proc", "/sys", "/run", "/tmp", "/etc"] {
            archive.directory(directory);
        }
        let mut initramfs = Initramfs {
            archive,
            files: BTreeSet::new(),
        };
        initramfs.stripped("/init", init)?;
        Ok(initramfs)
    }

    /// Adds a program of ours as `path`, without what only a debugger reads.
    pub fn stripped(&mut self, path: &str, from: &Path) -> Result<()> {
        // Several machines may be packed at once.
        let out = NamedTempFile::new_in(scratch::directory()?)?;
        let status = Command::new("strip")
            .arg("--strip-all")
            .arg("-o")
            .arg(out.path())
            .arg(from)
            .status()
            .context("starting strip")?;
        if !status.success() {
            bail!("strip {} failed", from.display());
        }
        self.file(path, out.path())
    }

    /// Adds a file of this machine as `path`, once.
    pub fn file(&mut self, path: &str, from: &Path) -> Result<()> {
        let data = fs::read(from).with_context(|| from.display().to_string())?;
        self.data(path, &data);
        Ok(())
    }

    /// Adds a file of these contents, unless there is one of that name.
    pub fn data(&mut self, path: &str, data: &[u8]) {
        if self.files.insert(path.to_owned()) {
            self.archive.file(path, data);
        }
    }

    /// Adds busybox, by which `sh` is there.
    pub fn busybox(&mut self) -> Result<()> {
        self.file("/bin/busybox", Path::new("/bin/busybox"))?;
        self.archive.symlink("/bin/sh", "busybox");
        Ok(())
    }

    /// Adds a program of this machine where it is here, with the libraries that it is linked to.
    pub fn program(&mut self, program: &str) -> Result<()> {
        self.file(program, Path::new(program))?;
        for library in libraries(program)? {
            let path = library.to_string_lossy().into_owned();
            self.file(&path, &library)?;
        }
        Ok(())
    }

    /// Adds kernel modules and what they need; returns where they are, in the order of loading.
    pub fn modules(&mut self, modules: &Modules, names: &[&str]) -> Result<Vec<String>> {
        let mut paths = Vec::new();
        for name in names {
            for file in modules.closure(name)? {
                let path = format!("/modules/{}.ko", name_of(&file));
                if paths.contains(&path) {
                    continue;
                }
                if !self.files.contains(&path) {
                    self.data(&path, &modules.read(&file)?);
                }
                paths.push(path);
            }
        }
        Ok(paths)
    }

    /// Adds KVM.
    pub fn kvm(&mut self, modules: &Modules) -> Result<KvmModules> {
        let mut needed = self.modules(modules, &["kvm"])?;
        let kvm = needed
            .pop()
            .context("KVM is built into this kernel; it has to be a module")?;
        let mut vendor = |name| -> Result<Vec<String>> {
            let mut paths = self.modules(modules, &[name])?;
            paths.retain(|path| *path != kvm && !needed.contains(path));
            Ok(paths)
        };
        Ok(KvmModules {
            amd: vendor("kvm-amd")?,
            intel: vendor("kvm-intel")?,
            kvm: kvm.clone(),
            needed: needed.clone(),
        })
    }

    /// The whole, with init's plan.
    pub fn finish(mut self, plan: &Plan) -> Vec<u8> {
        self.data(PLAN_PATH, protocol::to_line(plan).as_bytes());
        self.archive.finish()
    }
}

/// What the dynamic linker would load for a program, and itself.
fn libraries(program: &str) -> Result<Vec<PathBuf>> {
    stdout(Command::new("ldd").arg(program))
        .and_then(|text| parse_ldd(&text))
        .with_context(|| format!("what {program} is linked to"))
}

fn parse_ldd(output: &str) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for line in output.lines() {
        if line.contains("not found") {
            bail!("{}", line.trim());
        }
        // "libz.so.1 => /lib/libz.so.1 (0x...)", "/lib64/ld-linux-x86-64.so.2 (0x...)", or a
        // library that is in no file.
        paths.extend(
            line.split_whitespace()
                .find(|word| word.starts_with('/'))
                .map(PathBuf::from),
        );
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_of_a_program() {
        let output = "\tlinux-vdso.so.1 (0x00007ffc)\n\
            \tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        assert_eq!(
            parse_ldd(output).unwrap(),
            [
                PathBuf::from("/lib/x86_64-linux-gnu/libz.so.1"),
                PathBuf::from("/lib64/ld-linux-x86-64.so.2")
            ]
        );
        let missing = parse_ldd("\tlibfoo.so => not found\n").unwrap_err();
        assert!(missing.to_string().contains("libfoo.so"));
    }
}
