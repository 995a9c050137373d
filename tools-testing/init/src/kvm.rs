// SPDX-License-Identifier: GPL-2.0
//! KVM's own modules: which of them this CPU wants, there and away.

use crate::kmod;
use anyhow::{bail, Result};
use protocol::KvmModules;
use std::fs;
use std::path::Path;

/// Loads KVM with all that it needs.
pub fn load(modules: &KvmModules) -> Result<()> {
    for path in &modules.needed {
        kmod::load(path)?;
    }
    kmod::load(&modules.kvm)?;
    for path in vendor(modules)? {
        kmod::load(path)?;
    }
    if !Path::new("/dev/kvm").exists() {
        bail!("KVM's modules are loaded, but /dev/kvm has not appeared");
    }
    Ok(())
}

/// Unloads `kvm.ko` and its user; what they need stays.
pub fn unload(modules: &KvmModules) -> Result<()> {
    if let Some(path) = vendor(modules)?.last() {
        kmod::unload(&kmod::name_of(path))?;
    }
    kmod::unload(&kmod::name_of(&modules.kvm))
}

fn vendor(modules: &KvmModules) -> Result<&[String]> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo")?;
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags"));
    let has = |flag| flags.is_some_and(|line| line.split_whitespace().any(|word| word == flag));
    if has("svm") {
        Ok(&modules.amd)
    } else if has("vmx") {
        Ok(&modules.intel)
    } else {
        bail!("this machine's CPU has neither svm nor vmx: QEMU was started without nesting")
    }
}
