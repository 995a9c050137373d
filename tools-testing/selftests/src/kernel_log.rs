// SPDX-License-Identifier: GPL-2.0
//! What the kernel has to say.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

use harness::outcome::{Outcome, Stop};

/// A reader of what the kernel logs from now on.
pub fn kernel_log() -> Outcome<File> {
    let mut log = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/kmsg")
        .map_err(|error| Stop::Skip(format!("cannot read the kernel's log: {error}")))?;
    log.seek(SeekFrom::End(0))?;
    Ok(log)
}

/// Records of the log that are left to read; each read returns one.
pub fn records(log: &mut File) -> Outcome<Vec<String>> {
    let mut records = Vec::new();
    let mut record = [0; 8192];
    loop {
        match log.read(&mut record) {
            Ok(length) => records.push(String::from_utf8_lossy(&record[..length]).into_owned()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(records),
            // Some were overwritten; the rest follows.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            Err(error) => return Err(error.into()),
        }
    }
}
