// SPDX-License-Identifier: GPL-2.0
//! The kernel's modules: which ones a wanted one needs, in which order, and their contents.

use anyhow::{bail, Context, Result};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What modules.dep says.
pub struct Modules {
    dir: PathBuf,
    needs: HashMap<String, Vec<String>>,
    by_name: HashMap<String, String>,
    builtin: Vec<String>,
    /// Files that are taken in place of modules, by these's names.
    replaced: HashMap<String, PathBuf>,
}

impl Modules {
    /// The modules of the kernel in `dir` (the one that modules.dep is in).
    pub fn open(dir: &Path) -> Result<Self> {
        let read = |name: &str| {
            let path = dir.join(name);
            fs::read_to_string(&path).with_context(|| path.display().to_string())
        };
        Ok(Self::parse(
            dir,
            &read("modules.dep")?,
            &read("modules.builtin")?,
        ))
    }

    fn parse(dir: &Path, dependencies: &str, builtin: &str) -> Self {
        let mut needs = HashMap::new();
        let mut by_name = HashMap::new();
        for line in dependencies.lines() {
            let Some((path, needed)) = line.split_once(':') else {
                continue;
            };
            // The last one named is the first to load.
            let needed = needed.split_whitespace().rev().map(str::to_owned).collect();
            by_name.insert(name_of(path), path.to_owned());
            needs.insert(path.to_owned(), needed);
        }
        Modules {
            dir: dir.to_owned(),
            needs,
            by_name,
            builtin: builtin.lines().map(name_of).collect(),
            replaced: HashMap::new(),
        }
    }

    /// Takes this file in place of the module of its name.
    pub fn replace(&mut self, file: &Path) {
        let name = name_of(&file.to_string_lossy());
        self.replaced.insert(name, file.to_owned());
    }

    /// Paths, as in modules.dep, of `name` and what it needs, in the order of loading. Empty for
    /// what the kernel has built in.
    pub fn closure(&self, name: &str) -> Result<Vec<String>> {
        let name = name_of(name);
        if self.builtin.contains(&name) {
            return Ok(Vec::new());
        }
        let Some(path) = self.by_name.get(&name) else {
            bail!("the kernel has no module {name} ({})", self.dir.display());
        };
        let mut paths = self.needs[path].clone();
        paths.push(path.clone());
        Ok(paths)
    }

    /// The module itself, decompressed.
    pub fn read(&self, path: &str) -> Result<Vec<u8>> {
        let own = || self.dir.join(path);
        let file = self
            .replaced
            .get(&name_of(path))
            .cloned()
            .unwrap_or_else(own);
        let decompressor = match file.extension().and_then(|e| e.to_str()) {
            Some("xz") => "xz",
            Some("zst") => "zstd",
            Some("gz") => "gzip",
            _ => return fs::read(&file).with_context(|| file.display().to_string()),
        };
        let output = Command::new(decompressor)
            .arg("-dc")
            .arg(&file)
            .output()
            .with_context(|| format!("starting {decompressor}"))?;
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr);
            bail!("{decompressor} {}: {}", file.display(), error.trim());
        }
        Ok(output.stdout)
    }
}

/// The name of the module in a file, with underscores, as the kernel has it.
pub fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().unwrap_or(file).replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "kernel/virt/lib/irqbypass.ko.xz:\n\
        kernel/arch/x86/kvm/kvm.ko.xz: kernel/virt/lib/irqbypass.ko.xz\n\
        kernel/arch/x86/kvm/kvm-amd.ko.xz: kernel/drivers/crypto/ccp/ccp.ko.xz \
        kernel/arch/x86/kvm/kvm.ko.xz kernel/virt/lib/irqbypass.ko.xz\n";

    fn modules() -> Modules {
        Modules::parse(
            Path::new("/k"),
            DEP,
            "kernel/drivers/virtio/virtio_pci.ko\n",
        )
    }

    #[test]
    fn what_is_needed_comes_first() {
        let names: Vec<_> = modules()
            .closure("kvm_amd")
            .unwrap()
            .iter()
            .map(|path| name_of(path))
            .collect();
        assert_eq!(names, ["irqbypass", "kvm", "ccp", "kvm_amd"]);
        assert_eq!(modules().closure("irqbypass").unwrap().len(), 1);
    }

    #[test]
    fn a_replaced_module_is_read_from_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("kvm-amd.ko");
        fs::write(&file, "patched").unwrap();
        let mut modules = modules();
        modules.replace(&file);
        let path = "kernel/arch/x86/kvm/kvm-amd.ko.xz";
        assert_eq!(modules.read(path).unwrap(), b"patched");
        assert!(modules.read("kernel/arch/x86/kvm/kvm.ko").is_err());
    }

    #[test]
    fn built_in_and_missing() {
        assert_eq!(
            modules().closure("virtio-pci").unwrap(),
            Vec::<String>::new()
        );
        let error = modules().closure("nonesuch").unwrap_err();
        assert!(error.to_string().contains("no module nonesuch"));
    }
}
