// SPDX-License-Identifier: GPL-2.0
//! Looking through a kernel log for what should not be there, and telling which step it belongs to.

use protocol::{Side, KLOG_TAG, MODULE_NAME};

/// What a report of SLUB's begins with: "BUG kmalloc-64 (Tainted: …): Right Redzone overwritten".
const SLUB: &str = "BUG ";

/// What else begins a report of something wrong.
const TRIGGERS: [&str; 31] = [
    "WARNING:",
    "BUG:",
    "kernel BUG at",
    "Oops",
    "Kernel panic",
    "general protection fault",
    "invalid opcode:",
    "divide error:",
    "stack segment:",
    "double fault:",
    "unable to handle",
    "blocked for more than",
    "detected stall",
    "detected expedited stalls",
    "rcu: INFO:",
    "soft lockup",
    "hard LOCKUP",
    "suspicious RCU usage",
    "possible circular locking",
    "possible recursive locking",
    "INFO: trying to register non-static key",
    "DEBUG_LOCKS_WARN_ON",
    "scheduling while atomic",
    "Voluntary context switch within RCU",
    "UBSAN:",
    "KCSAN:",
    "refcount_t:",
    "list_add corruption",
    "list_del corruption",
    "unreferenced object",
    "nobody cared",
];

/// No report is shown at greater length.
const MAX_LINES: usize = 80;

/// Something wrong that the kernel reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splat {
    /// The step in which it came.
    pub step: Option<String>,
    /// Who was in charge, or about to be.
    pub side: Side,
    /// Its lines, without times.
    pub lines: Vec<String>,
}

/// Warnings that C gives reason to (c-bugs.rst), by source line and function.
const OF_C: [(&str, &str); 1] = [
    // A send without shared_info, an event for a vCPU without vcpu_info.
    ("virt/kvm/pfncache.c:267", "__kvm_gpc_refresh"),
];

/// What lockdep says of livepatch itself under `PREEMPT_RT` (takeover.rst), by file and function.
const OF_LIVEPATCH_UNDER_RT: (&str, &str) = (
    "kernel/livepatch/transition.c:",
    "klp_check_and_switch_task",
);

impl Splat {
    /// Whether it is what is known of livepatch under `PREEMPT_RT`, whoever serves.
    pub fn is_known_of_livepatch(&self) -> bool {
        let mut lines = self.lines.iter();
        let place = lines.find_map(|line| place(line));
        let is_it = place.is_some_and(|(line, function)| {
            line.starts_with(OF_LIVEPATCH_UNDER_RT.0) && function == OF_LIVEPATCH_UNDER_RT.1
        });
        is_it && self.lines.iter().any(|line| line.contains(" PREEMPT_RT"))
    }

    /// Whether it is one that is known of C, under C.
    pub fn is_known_of_c(&self) -> bool {
        let is_of_c = |(line, function): (&str, &str)| {
            OF_C.iter()
                .any(|of_c| line.ends_with(of_c.0) && function == of_c.1)
        };
        let mut lines = self.lines.iter();
        self.side == Side::C && lines.find_map(|line| place(line)).is_some_and(is_of_c)
    }
}

/// Source line and function of "WARNING: FILE:LINE at FUNCTION+OFFSET/SIZE [MODULE], CPU#…".
fn place(line: &str) -> Option<(&str, &str)> {
    let (line, rest) = line.strip_prefix("WARNING: ")?.split_once(" at ")?;
    Some((line, rest.split(['+', ',']).next()?))
}

/// Finds all of them.
pub fn splats(log: &str) -> Vec<Splat> {
    let mut reader = Reader::default();
    log.lines().for_each(|line| reader.line(message(line)));
    reader.close();
    reader.found
}

/// The last lines, for a machine that hangs.
pub fn tail(log: &str, count: usize) -> Vec<String> {
    let lines: Vec<_> = log
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect();
    let start = lines.len().saturating_sub(count);
    lines[start..]
        .iter()
        .map(|line| (*line).to_owned())
        .collect()
}

struct Reader {
    found: Vec<Splat>,
    open: Option<Splat>,
    step: Option<String>,
    /// Rust, until somebody says otherwise.
    side: Side,
    /// What livepatch itself says.
    is_patched: bool,
    /// A line that only frames what follows.
    frame: Option<String>,
}

impl Default for Reader {
    fn default() -> Self {
        Reader {
            found: Vec::new(),
            open: None,
            step: None,
            side: Side::Rust,
            is_patched: false,
            frame: None,
        }
    }
}

impl Reader {
    fn line(&mut self, line: &str) {
        if let Some(mark) = line.strip_prefix(KLOG_TAG) {
            self.close();
            self.mark(mark.trim());
            return;
        }
        if let Some(said) = line.strip_prefix("livepatch: ") {
            self.livepatch(said);
        }
        let is_frame = line.contains("[ cut here ]") || line.starts_with("======");
        let triggers = line.starts_with(SLUB) || TRIGGERS.iter().any(|t| line.contains(t));
        if is_frame || triggers {
            self.close();
        }
        match &mut self.open {
            Some(splat) => {
                if splat.lines.len() < MAX_LINES {
                    splat.lines.push(line.to_owned());
                }
                if line.contains("---[ end trace") {
                    self.close();
                }
            }
            None if triggers => {
                let frame = self.frame.take();
                self.open = Some(Splat {
                    step: self.step.clone(),
                    side: self.side,
                    lines: frame.into_iter().chain([line.to_owned()]).collect(),
                });
            }
            None => self.frame = is_frame.then(|| line.to_owned()),
        }
    }

    /// A line of our own init.
    fn mark(&mut self, text: &str) {
        match text.split_once(' ') {
            Some(("begin", id)) => self.step = Some(id.to_owned()),
            Some(("end", _)) => self.step = None,
            // Rust begins with the change to it, and ends when the change to C is over.
            Some(("change", "to Rust")) => self.side = Side::Rust,
            Some(("side", "C")) if !self.is_patched => self.side = Side::C,
            _ => {}
        }
    }

    /// A line of livepatch's: whoever has inserted our module without a mark, Rust is in charge.
    fn livepatch(&mut self, said: &str) {
        if said == format!("enabling patch '{MODULE_NAME}'") {
            self.is_patched = true;
            self.side = Side::Rust;
        } else if said == format!("'{MODULE_NAME}': unpatching complete") {
            self.is_patched = false;
        }
    }

    fn close(&mut self) {
        self.found.extend(self.open.take());
    }
}

/// The message of a line: without the time, and the task or processor where that is shown.
fn message(line: &str) -> &str {
    let mut rest = line.trim_end();
    while let Some((inside, after)) = rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
        let inside = inside.trim();
        let is_time = inside.split_once('.').is_some_and(|(s, us)| {
            s.parse::<u64>().is_ok() && us.len() == 6 && us.parse::<u64>().is_ok()
        });
        let is_caller = inside
            .strip_prefix(['T', 'C'])
            .is_some_and(|number| number.parse::<u64>().is_ok());
        if !is_time && !is_caller {
            break;
        }
        rest = after.trim_start();
    }
    rest
}

#[cfg(test)]
mod tests;
