// SPDX-License-Identifier: GPL-2.0
//! A directory for files that are gone when the run is over, by whatever signal.

use anyhow::{Context, Result};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use tempfile::TempDir;

static DIRECTORY: Mutex<Option<TempDir>> = Mutex::new(None);

/// The directory, made when first asked for.
pub fn directory() -> Result<PathBuf> {
    let mut directory = DIRECTORY.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(directory) = &*directory {
        return Ok(directory.path().to_owned());
    }
    let new = tempfile::Builder::new().prefix("kvm-xen-run-").tempdir();
    let new = new.context("making a temporary directory")?;
    let path = new.path().to_owned();
    *directory = Some(new);
    Ok(path)
}

/// Removes it with all that is in it. Statics aren't dropped, so somebody has to say so.
pub fn remove() {
    drop(
        DIRECTORY
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(),
    );
}
