// SPDX-License-Identifier: GPL-2.0
//! What inserts our module where that is refused.

use super::{Parts, DETOUR};
use crate::build_steps;
use crate::initramfs::Initramfs;
use anyhow::{Context, Result};
use protocol::ExecAction;
use std::fs;

/// What the version of its kernel follows in a module.
const VERMAGIC: &[u8] = b"vermagic=";

/// Where a module for another kernel is in a machine.
const ANOTHER_KERNEL: &str = "/another-kernel/kvm_xen_rs.ko";

impl Parts<'_> {
    /// The program with these of its cases, to run in the machine.
    pub fn refused(&self, initramfs: &mut Initramfs, names: &[String]) -> Result<ExecAction> {
        let path = self.module.as_ref().context("there is no module")?;
        let mut module = fs::read(path).with_context(|| path.display().to_string())?;
        let version = VERMAGIC.len();
        let at = module.windows(version).position(|bytes| bytes == VERMAGIC);
        let at = at.context("the module is for no kernel")?;
        // No kernel has version 0.
        module[at + version] = b'0';
        initramfs.data(ANOTHER_KERNEL, &module);
        initramfs.file(DETOUR, &build_steps::detour(self.paths, &self.kernel)?)?;
        let mut arguments = vec![
            "refused".to_owned(),
            format!("--another-kernel={ANOTHER_KERNEL}"),
            format!("--other={DETOUR}"),
        ];
        arguments.extend(names.iter().map(|name| format!("--only={name}")));
        self.storm(initramfs, &arguments)
    }
}
