// SPDX-License-Identifier: GPL-2.0
//! The end of the kernel log.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

use anyhow::{Context, Result};

/// What comes to the kernel log after this was made.
pub struct Tail(File);

impl Tail {
    pub fn new() -> Result<Self> {
        let mut kmsg = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/kmsg")
            .context("can't read /dev/kmsg")?;
        kmsg.seek(SeekFrom::End(0))?;
        Ok(Self(kmsg))
    }

    /// The lines that came meanwhile.
    pub fn read(&mut self) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        // One read is one record, and this is the longest that there is.
        let mut record = [0; 8192];
        loop {
            match self.0.read(&mut record) {
                Ok(length) => lines.extend(text(&record[..length])),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(lines),
                // Some were overwritten before they could be read.
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
                Err(error) => return Err(error).context("can't read /dev/kmsg"),
            }
        }
    }
}

/// The text of a record: from the first semicolon to the end of the line, in which the line breaks
/// that it has are escaped.
fn text(record: &[u8]) -> Vec<String> {
    let record = String::from_utf8_lossy(record);
    let text = record.split_once(';').map_or("", |(_, text)| text);
    let line = text.lines().next().unwrap_or_default();
    line.split("\\x0a").map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn text_is_what_was_printed() {
        let record = b"4,100,36531094,-;\\x0abut this\n SUBSYSTEM=x\n";
        assert_eq!(text(record), ["", "but this"]);
        assert_eq!(text(b"6,1,2,-;a; b\n"), ["a; b"]);
    }
}
