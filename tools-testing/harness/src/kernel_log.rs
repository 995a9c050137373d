// SPDX-License-Identifier: GPL-2.0
//! What the kernel has to say.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

use super::outcome::{fail, Outcome, Stop};

/// What comes to the kernel's log after this was made.
pub struct Tail(File);

impl Tail {
    /// From now on.
    pub fn new() -> io::Result<Self> {
        Self::from(SeekFrom::End(0))
    }

    /// The same; skips the case that may not read it.
    pub fn or_skip() -> Outcome<Self> {
        Self::new().map_err(skip)
    }

    /// All that is there, and what comes.
    pub fn all_or_skip() -> Outcome<Self> {
        Self::from(SeekFrom::Start(0)).map_err(skip)
    }

    fn from(place: SeekFrom) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let mut kmsg = options
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/kmsg")?;
        kmsg.seek(place)?;
        Ok(Self(kmsg))
    }

    /// The lines that came meanwhile.
    pub fn read(&mut self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        // One read is one record, and this is the longest that there is.
        let mut record = [0; 8192];
        loop {
            match self.0.read(&mut record) {
                Ok(length) => lines.extend(text(&record[..length])),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(lines),
                // Some were overwritten before they could be read.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Fails if a line that came has `words` in it.
    #[track_caller]
    pub fn check_without(&mut self, words: &str) -> Outcome {
        match self.read()?.iter().find(|line| line.contains(words)) {
            None => Ok(()),
            Some(line) => Err(fail(format!("the kernel says: {line}"))),
        }
    }
}

fn skip(error: io::Error) -> Stop {
    Stop::Skip(format!("cannot read the kernel's log: {error}"))
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
