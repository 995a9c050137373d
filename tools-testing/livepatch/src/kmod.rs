// SPDX-License-Identifier: GPL-2.0
//! Loading and unloading kernel modules.

use anyhow::{bail, Context, Result};
use nix::errno::Errno;
use nix::kmod::{delete_module, finit_module, DeleteModuleFlags, ModuleInitFlags};
use std::ffi::CString;
use std::fs::File;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a module may stay busy after its last user has let go of it: references are also
/// dropped by workers.
const BUSY_LIMIT: Duration = Duration::from_secs(10);

/// Loads the module in `path`. One that is loaded already is left alone.
pub fn load(path: &str) -> Result<()> {
    load_with(path, "")
}

/// As [`load`], with parameters.
pub fn load_with(path: &str, parameters: &str) -> Result<()> {
    let file = File::open(path).context(path.to_owned())?;
    match finit_module(&file, &CString::new(parameters)?, ModuleInitFlags::empty()) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("inserting {path}")),
    }
}

/// Unloads a module by its name, as soon as it isn't busy.
pub fn unload(name: &str) -> Result<()> {
    let c_name = CString::new(name)?;
    let begun = Instant::now();
    loop {
        match delete_module(&c_name, DeleteModuleFlags::O_NONBLOCK) {
            Ok(()) => return Ok(()),
            Err(Errno::EAGAIN | Errno::EBUSY) if begun.elapsed() < BUSY_LIMIT => {
                sleep(Duration::from_millis(5));
            }
            Err(error) => bail!("removing {name}: {error}"),
        }
    }
}

/// Whether a module of that name is loaded.
pub fn is_loaded(name: &str) -> bool {
    Path::new("/sys/module")
        .join(name)
        .join("initstate")
        .exists()
}

/// The name that the kernel knows the module in this file by.
pub fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().unwrap_or(file).replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::name_of;

    #[test]
    fn names_are_the_kernels() {
        assert_eq!(name_of("/modules/kvm-amd.ko"), "kvm_amd");
        assert_eq!(name_of("9pnet.ko"), "9pnet");
    }
}
