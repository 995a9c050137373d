// SPDX-License-Identifier: GPL-2.0
//! How long a transition took, by the kernel's log: a task that looks on may have to wait for a
//! processor, and takes what comes later for a part of it.

use nix::fcntl::OFlag;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

/// What the kernel logs when tasks begin to change over.
const BEGINS: &str = "patching transition";
/// What it logs when the last one has, where dynamic debug is there; functions are taken from ftrace
/// only then.
const ENDS: &str = "completing";
/// What it logs a moment later, where none have to be.
const PATCHED: &str = "': patching complete";

/// The kernel's log from here on.
pub struct Log(File);

impl Log {
    /// Begins to listen; `None` where the log can't be read.
    pub fn listen() -> Option<Self> {
        // Without it only a transition to the patch is seen to end.
        let _ = fs::write(
            "/proc/dynamic_debug/control",
            "func klp_complete_transition +p",
        );
        let mut log = OpenOptions::new();
        let log = log.read(true).custom_flags(OFlag::O_NONBLOCK.bits());
        let mut log = log.open("/dev/kmsg").ok()?;
        log.seek(SeekFrom::End(0)).ok()?;
        Some(Self(log))
    }

    /// From when tasks began to change over to when the last one had.
    pub fn transition(mut self) -> Option<Duration> {
        let mut begun = None;
        let mut record = [0; 8192];
        loop {
            let length = match self.0.read(&mut record) {
                Ok(length) => length,
                // Records were lost.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => continue,
                Err(_) => return None,
            };
            let record = String::from_utf8_lossy(&record[..length]);
            let Some((time, text)) = livepatch(&record) else {
                continue;
            };
            if let (Some(begun), true) = (begun, text.contains(ENDS) || text.contains(PATCHED)) {
                return Some(time - begun);
            }
            if text.contains(BEGINS) {
                begun = Some(time);
            }
        }
    }
}

/// Time and text of a record that is livepatch's: "6,812,141662063,-;livepatch: …".
fn livepatch(record: &str) -> Option<(Duration, &str)> {
    let (head, text) = record.split_once(';')?;
    let time = head.split(',').nth(2)?.parse().ok()?;
    text.starts_with("livepatch: ")
        .then_some((Duration::from_micros(time), text))
}

#[cfg(test)]
mod tests {
    use super::livepatch;
    use std::time::Duration;

    #[test]
    fn records_of_livepatch() {
        let text = "livepatch: 'kvm_xen_rs': starting patching transition\n";
        let record = format!("5,812,141662063,-;{text}");
        let time = Duration::from_micros(141_662_063);
        assert_eq!(livepatch(&record), Some((time, text)));
        assert_eq!(livepatch("4,813,141662070,-;kvm-xen-init: side C\n"), None);
    }
}
