// SPDX-License-Identifier: GPL-2.0
//! Where things are.

use crate::cli::Common;
use anyhow::{bail, Context, Result};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The directories that a run works with.
#[derive(Clone)]
pub struct Paths {
    /// The clone.
    pub source: PathBuf,
    /// Each boot has a directory of its own in there.
    pub logs: PathBuf,
    /// What cargo builds goes there.
    pub target: PathBuf,
    /// The kernel to boot.
    pub kernel: Kernel,
    /// Where kernels are by name.
    kernels: PathBuf,
}

impl Paths {
    /// Looks for what the command line names.
    pub fn new(common: &Common) -> Result<Self> {
        let source = common.source.clone();
        if !source.join("tools-testing/Cargo.toml").exists() {
            bail!(
                "{} is no clone of kvm-xen-rs: name it by --source",
                source.display()
            );
        }
        let kernels = common.kernels.clone();
        let kernels = kernels.unwrap_or_else(|| common.cache.join("kernels"));
        let target = env::var_os("CARGO_TARGET_DIR");
        Ok(Paths {
            logs: common
                .keep_logs
                .clone()
                .unwrap_or_else(|| source.join("build/logs")),
            target: target.map_or_else(|| source.join("build/target"), PathBuf::from),
            kernel: Kernel::open(&kernels.join(&common.kernel))?,
            kernels,
            source,
        })
    }

    /// The kernel of that kind, built from the source of the one to boot.
    pub fn of_kind(&self, kind: Kind) -> Result<Kernel> {
        match kind {
            Kind::Stock => Ok(self.kernel.clone()),
            Kind::Debug => self.kernel.sibling("-debug"),
            Kind::DebugRt => self.kernel.sibling("-debug-rt"),
        }
    }

    /// A group of kernels, without the one to boot.
    pub fn group(&self, group: &str) -> Result<Group> {
        let path = self.kernels.join(group);
        let names = fs::read_to_string(&path)
            .with_context(|| format!("{}: no such group of kernels", path.display()))?;
        let mut group = Group::default();
        for name in names.lines() {
            let why = self.kernels.join(format!("{name}.none"));
            match fs::read_to_string(&why) {
                Ok(why) => {
                    let why = why.trim().to_owned();
                    group.missing.push((name.to_owned(), why));
                }
                Err(_) => {
                    let kernel = Kernel::open(&self.kernels.join(name))?;
                    if kernel.label != self.kernel.label {
                        group.kernels.push((name.to_owned(), kernel));
                    }
                }
            }
        }
        Ok(group)
    }

    /// Every kernel that is there, once.
    pub fn at_hand(&self) -> Result<Vec<Kernel>> {
        let entries =
            fs::read_dir(&self.kernels).with_context(|| self.kernels.display().to_string())?;
        let mut kernels = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path.join("release").exists() {
                kernels.push(Kernel::open(&path)?);
            }
        }
        kernels.sort_by(|one, other| one.label.cmp(&other.label));
        kernels.dedup_by(|one, other| one.label == other.label);
        Ok(kernels)
    }

    /// Where something of `kind` is built for that kernel.
    pub fn objects(&self, kind: &str, kernel: &Kernel) -> PathBuf {
        let build = self.source.join("build");
        build.join(format!("{kind}-{}", kernel.label))
    }

    /// The Cargo workspace.
    pub fn workspace(&self) -> PathBuf {
        self.source.join("tools-testing")
    }
}

/// Several kernels, each with its name.
#[derive(Default)]
pub struct Group {
    /// Those that are there.
    pub kernels: Vec<(String, Kernel)>,
    /// Those that are not, and why.
    pub missing: Vec<(String, String)>,
}

/// What a kernel is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It is the archive's.
    Stock,
    /// It looks for mistakes, and so is slow.
    Debug,
    /// It looks for mistakes under `PREEMPT_RT`.
    DebugRt,
}

/// A kernel with its modules and its source, as provisioning lays them out.
#[derive(Clone, Debug)]
pub struct Kernel {
    dir: PathBuf,
    /// `uname -r`.
    pub release: String,
    /// Tells it from all others.
    pub label: String,
    /// What it is built for.
    pub kind: Kind,
}

impl Kernel {
    /// The kernel in `dir`.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join("release");
        let release = fs::read_to_string(&path).with_context(|| {
            format!(
                "{} has no kernel ({}): run make check, which gets it, or name another by --kernel",
                dir.display(),
                path.display()
            )
        })?;
        let name = dir.canonicalize()?;
        let name = name.file_name().unwrap_or_default().to_string_lossy();
        let label = label(&name);
        let kind = match &label {
            label if label.ends_with("-debug-rt") => Kind::DebugRt,
            label if label.ends_with("-debug") => Kind::Debug,
            _ => Kind::Stock,
        };
        Ok(Kernel {
            dir: dir.to_owned(),
            release: release.trim().to_owned(),
            label,
            kind,
        })
    }

    /// The one that is built from its source: named after it, but for the flavour.
    fn sibling(&self, suffix: &str) -> Result<Self> {
        let name = self.dir.file_name().unwrap_or_default().to_string_lossy();
        let name = name.trim_end_matches("-rt").trim_end_matches("-cloud");
        Self::open(&self.dir.with_file_name(format!("{name}{suffix}")))
    }

    /// Whether it looks for mistakes.
    pub fn is_debug(&self) -> bool {
        self.kind != Kind::Stock
    }

    /// Whether its spinlocks sleep.
    pub fn is_rt(&self) -> bool {
        self.kind == Kind::DebugRt || self.release.contains("-rt-")
    }

    /// What it needs on its command line.
    ///
    /// Until a debug kernel has identified the first processor it believes now and then that there
    /// is no fifth level of page tables; an interrupt right then has KASAN take good addresses for
    /// wild ones, and that turns lockdep off. KVM under `PREEMPT_RT` wants a counter of which it
    /// knows that it is constant, as that of an emulated processor is.
    pub fn append(&self) -> String {
        let debug = self.is_debug().then_some("no5lvl");
        let rt = self.is_rt().then_some("setcpuid=constant_tsc");
        let words: Vec<_> = debug.into_iter().chain(rt).collect();
        words.join(" ")
    }

    /// How much longer everything may take.
    pub fn patience(&self) -> u64 {
        match self.kind {
            Kind::Stock => 1,
            Kind::Debug => 4,
            Kind::DebugRt => 6,
        }
    }

    /// Seconds that a transition may take.
    pub fn transition_limit_s(&self) -> u64 {
        match self.kind {
            // Who measures it waits longer for a processor than livepatch does for tasks.
            Kind::Debug | Kind::DebugRt => 60,
            Kind::Stock => 5,
        }
    }

    /// What to boot.
    pub fn image(&self) -> PathBuf {
        self.dir.join("vmlinuz")
    }

    /// Where modules.dep is, and what the paths in it are relative to.
    pub fn modules(&self) -> PathBuf {
        self.dir.join("lib/modules").join(&self.release)
    }

    /// The source, prepared for building modules.
    pub fn source(&self) -> PathBuf {
        self.dir.join("source")
    }

    /// One of upstream's selftests, built.
    ///
    /// # Errors
    ///
    /// What provisioning met when it built them.
    pub fn upstream(&self, test: &str) -> Result<PathBuf> {
        let dir = self.dir.join("upstream");
        if let Ok(why) = fs::read_to_string(dir.join("failed")) {
            bail!("upstream's tests don't build: {}", why.trim());
        }
        Ok(dir.join(test))
    }

    /// KVM's module, which our module is made for.
    pub fn kvm_ko(&self) -> Option<PathBuf> {
        let dir = self.modules().join("kernel/arch/x86/kvm");
        let mut files = ["kvm.ko", "kvm.ko.xz", "kvm.ko.zst"].map(|name| dir.join(name));
        files
            .iter_mut()
            .find(|file| file.exists())
            .map(std::mem::take)
    }
}

/// What a kernel's directory has in its name beside `kernel-` and the key.
fn label(name: &str) -> String {
    let name = name.strip_prefix("kernel-").unwrap_or(name);
    match name.rsplit_once('-') {
        Some((label, key)) if key.len() == 12 => label.to_owned(),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::label;

    #[test]
    fn a_key_is_no_part_of_a_label() {
        assert_eq!(
            label("kernel-7.3.4+deb13-amd64-1de284d8a27e"),
            "7.3.4+deb13-amd64"
        );
        assert_eq!(
            label("kernel-7.3.4+deb13-amd64-debug-rt-1de284d8a27e"),
            "7.3.4+deb13-amd64-debug-rt"
        );
        assert_eq!(label("linux-7.4"), "linux-7.4");
    }
}
