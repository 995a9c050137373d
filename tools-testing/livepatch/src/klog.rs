// SPDX-License-Identifier: GPL-2.0
//! Our own lines in the kernel log, by which the runner tells which step a report belongs to, and
//! who was in charge.

use protocol::{Side, KLOG_TAG};
use std::fs::{self, OpenOptions};
use std::io::Write;

/// Level of our lines: that of a warning (KERN_WARNING). A console that leaves such lines out leaves
/// ours out, too, and the runner misses them.
const LEVEL: u8 = 4;

/// Writes a line to the kernel log. Without /dev/kmsg there is none, which the runner notices.
pub fn mark(text: &str) {
    if let Ok(mut kmsg) = OpenOptions::new().write(true).open("/dev/kmsg") {
        // One write is one record.
        let _ = kmsg.write_all(format!("<{LEVEL}>{KLOG_TAG} {text}\n").as_bytes());
    }
}

/// A change of the side in charge begins. What the kernel warns of only once it may warn of again, or
/// one side's warning would hide the other's.
pub fn change_to(side: Side) {
    // Without debugfs there is no such file.
    let _ = fs::write("/sys/kernel/debug/clear_warn_once", "1");
    mark(&format!("change to {side}"));
}

/// That side is in charge.
pub fn in_charge(side: Side) {
    mark(&format!("side {side}"));
}
