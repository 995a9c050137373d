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
    /// Where the debug kernel is, if it was made.
    debug_kernel: PathBuf,
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
        let kernel = match &common.kernel {
            Some(dir) => dir.clone(),
            None => common.cache.join("kernel-stock"),
        };
        let target = env::var_os("CARGO_TARGET_DIR");
        Ok(Paths {
            logs: common
                .keep_logs
                .clone()
                .unwrap_or_else(|| source.join("build/logs")),
            target: target.map_or_else(|| source.join("build/target"), PathBuf::from),
            kernel: Kernel::open(&kernel)?,
            debug_kernel: common.cache.join("kernel-debug"),
            source,
        })
    }

    /// The kernel that tells of mistakes.
    pub fn debug_kernel(&self) -> Result<Kernel> {
        let mut kernel = Kernel::open(&self.debug_kernel)?;
        kernel.is_debug = true;
        Ok(kernel)
    }

    /// Where our module for a kernel is built.
    pub fn module_objects(&self, kernel: &Kernel) -> PathBuf {
        let suffix = if kernel.is_debug { "-debug" } else { "" };
        self.source.join(format!("build/module{suffix}"))
    }

    /// Where the samples are built for that kernel.
    pub fn samples_objects(&self, kernel: &Kernel) -> PathBuf {
        let suffix = if kernel.is_debug { "-debug" } else { "" };
        self.source.join(format!("build/samples{suffix}"))
    }

    /// The Cargo workspace.
    pub fn workspace(&self) -> PathBuf {
        self.source.join("tools-testing")
    }
}

/// A kernel with its modules and its source, as provisioning lays them out.
#[derive(Clone, Debug)]
pub struct Kernel {
    dir: PathBuf,
    /// `uname -r`.
    pub release: String,
    /// Whether it looks for mistakes, and so is slow.
    pub is_debug: bool,
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
        Ok(Kernel {
            dir: dir.to_owned(),
            release: release.trim().to_owned(),
            is_debug: false,
        })
    }

    /// What it needs on its command line.
    ///
    /// Until a debug kernel has identified the first processor it believes now and then that there
    /// is no fifth level of page tables; an interrupt right then has KASAN take good addresses for
    /// wild ones, and that turns lockdep off. Its watchdog of the clock takes the waits of an
    /// emulator for drift.
    pub fn append(&self) -> &'static str {
        match self.is_debug {
            true => "no5lvl tsc=reliable",
            false => "",
        }
    }

    /// How much longer everything may take.
    pub fn patience(&self) -> u64 {
        match self.is_debug {
            true => 4,
            false => 1,
        }
    }

    /// Seconds that a transition may take.
    pub fn transition_limit_s(&self) -> u64 {
        match self.is_debug {
            // Who measures it waits longer for a processor than livepatch does for tasks.
            true => 60,
            false => 5,
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
    pub fn upstream(&self, test: &str) -> PathBuf {
        self.dir.join("upstream").join(test)
    }
}
