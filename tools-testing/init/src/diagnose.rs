// SPDX-License-Identifier: GPL-2.0
//! What to look at when something hangs.

use crate::{channel, klog};
use protocol::{Event, GUEST_MONITOR};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Commands whose answers tell where a Xen guest is stuck.
const QUESTIONS: &str = "info status\ninfo cpus\nxen-event-list\ninfo registers -a\n";

fn say(line: impl Into<String>) {
    channel::send(&Event::Output { line: line.into() });
}

/// The kernel's stacks of a process, task by task.
pub fn tasks_of(pid: u32) {
    for task in fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let read = |name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default();
        say(format!(
            "task {} {}:",
            task.file_name().to_string_lossy(),
            read("comm").trim()
        ));
        let stack = read("stack");
        if stack.is_empty() {
            say("  (runs)");
        }
        stack.lines().for_each(|line| say(format!("  {line}")));
    }
}

/// Has the kernel write to its log what every uninterruptible task waits for, and what runs.
pub fn blocked_tasks() {
    klog::mark("something hangs: blocked tasks and what the processors do");
    let _ = fs::write("/proc/sysrq-trigger", "w");
    let _ = fs::write("/proc/sysrq-trigger", "l");
}

/// Asks QEMU about its guest.
pub fn qemu() {
    let Ok(mut monitor) = UnixStream::connect(GUEST_MONITOR) else {
        return say("QEMU's monitor does not answer");
    };
    let _ = monitor.set_read_timeout(Some(Duration::from_secs(2)));
    let _ = monitor.write_all(QUESTIONS.as_bytes());
    let mut answer = Vec::new();
    // The connection stays open: the time limit ends this.
    let _ = monitor.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer)
        .lines()
        .map(printable)
        .filter(|line| !line.is_empty())
        .for_each(say);
}

/// The monitor edits its line as for a terminal.
fn printable(line: &str) -> String {
    let mut out = String::new();
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            // An escape sequence ends with its first letter.
            chars.by_ref().find(char::is_ascii_alphabetic);
        } else if !c.is_control() {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn escapes_go() {
        assert_eq!(printable("(qemu) i\u{1b}[K\u{1b}[Dnfo\r"), "(qemu) info");
    }
}
