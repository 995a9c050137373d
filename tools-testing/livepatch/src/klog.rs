// SPDX-License-Identifier: GPL-2.0
//! Our own lines in the kernel log, by which the runner tells which step a splat belongs to.

use protocol::KLOG_TAG;
use std::fs::OpenOptions;
use std::io::Write;

/// Level of our lines: whatever the console shows, it shows them.
const LEVEL: u8 = 1;

/// Writes a line to the kernel log. Without /dev/kmsg there is none, which the runner notices.
pub fn mark(text: &str) {
    if let Ok(mut kmsg) = OpenOptions::new().write(true).open("/dev/kmsg") {
        // One write is one record.
        let _ = kmsg.write_all(format!("<{LEVEL}>{KLOG_TAG} {text}\n").as_bytes());
    }
}
