// SPDX-License-Identifier: GPL-2.0
//! Replacing a file so that nobody sees half of it.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use tempfile::Builder;

/// Writes a file with the permissions of another one (of itself, when it is replaced).
///
/// The bytes go into a new file beside it, which then takes its name: an interrupted build leaves
/// the old module or the new one. Where the name is a symbolic link, the link stays.
pub fn replace(path: &Path, mode_of: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = match fs::canonicalize(path) {
        Ok(path) => path,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_path_buf(),
        Err(error) => return Err(error),
    };
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let mut file = Builder::new()
        .prefix(".klp-link-")
        .tempfile_in(parent.unwrap_or(Path::new(".")))?;
    file.write_all(bytes)?;
    let mode = fs::metadata(mode_of)?.permissions();
    file.as_file().set_permissions(mode)?;
    file.as_file().sync_all()?;
    file.persist(&path)?;
    Ok(())
}
