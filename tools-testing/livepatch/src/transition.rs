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
            match self.0.read(&mut record) {
                Ok(length) => {
                    let record = String::from_utf8_lossy(&record[..length]);
                    if let Some(took) = ends(&mut begun, &record) {
                        return Some(took);
                    }
                }
                // Records were lost.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                Err(_) => return None,
            }
        }
    }
}

/// How long the transition took that `begun` is the beginning of, if it ends with this record.
fn ends(begun: &mut Option<Duration>, record: &str) -> Option<Duration> {
    let (time, text) = livepatch(record)?;
    if text.contains(ENDS) || text.contains(PATCHED) {
        return begun.map(|begun| time - begun);
    }
    if text.contains(BEGINS) {
        *begun = Some(time);
    }
    None
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
    use super::{ends, livepatch};
    use std::time::Duration;

    #[test]
    fn records_of_livepatch() {
        let text = "livepatch: 'kvm_xen_rs': starting patching transition\n";
        let record = format!("5,812,141662063,-;{text}");
        let time = Duration::from_micros(141_662_063);
        assert_eq!(livepatch(&record), Some((time, text)));
        assert_eq!(livepatch("4,813,141662070,-;kvm-xen-init: side C\n"), None);
    }

    #[test]
    fn a_transition_ends_when_no_task_is_left() {
        let took = |records: &[&str]| {
            let mut begun = None;
            let mut took = records.iter().map(|record| ends(&mut begun, record));
            took.find_map(|took| took)
        };
        let to = "5,1,1000,-;livepatch: 'kvm_xen_rs': starting patching transition\n";
        let back = "5,1,1000,-;livepatch: 'kvm_xen_rs': starting unpatching transition\n";
        let other = "6,2,1500,-;smpboot: CPU 1 is now offline\n";
        let last = "7,3,3000,-;livepatch: 'kvm_xen_rs': completing unpatching transition\n";
        let patched = "5,4,4000,-;livepatch: 'kvm_xen_rs': patching complete\n";
        let micros = Duration::from_micros;
        assert_eq!(took(&[back, other, last, patched]), Some(micros(2000)));
        assert_eq!(took(&[to, other, patched]), Some(micros(3000)));
        assert_eq!(took(&[last, to, other]), None);
    }
}
