// SPDX-License-Identifier: GPL-2.0
//! Lockdep's reports, as they are in the kernel log.

/// What is wrong, in lockdep's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Circle,
    Context,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Circle, Self::Context];

    /// The words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Circle => "possible circular locking dependency detected",
            Self::Context => "Invalid wait context",
        }
    }
}

/// A report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub kind: Kind,
    /// The lock that the task was about to take, or to wait for.
    pub wanted: String,
    /// The lock that it held, in a circle.
    pub held: Option<String>,
    /// The order that was seen before, outer to inner, in a circle.
    pub order: Vec<String>,
    /// Where the task was, innermost first.
    pub stack: Vec<String>,
}

impl Report {
    /// The first report in a log.
    pub fn find(log: &[String]) -> Option<Self> {
        let (start, kind) = log.iter().enumerate().find_map(|(at, line)| {
            let kind = Kind::ALL.into_iter().find(|k| line.contains(k.words()))?;
            Some((at, kind))
        })?;
        let lines = || log[start..].iter().map(String::as_str);

        // Each lock stands in the line after these words.
        let lock_after = |words: &str| {
            let mut rest = lines().skip_while(|line| !line.ends_with(words)).skip(1);
            rest.next().and_then(lock).map(str::to_owned)
        };
        let wanted = match kind {
            Kind::Circle => lock_after("is trying to acquire lock:"),
            Kind::Context => lock_after("is trying to lock:"),
        }?;

        // The innermost lock comes first; number 0 is the mistake itself.
        let mut order: Vec<_> = lines()
            .filter(|line| line.starts_with("-> #"))
            .filter_map(lock)
            .map(str::to_owned)
            .collect();
        order.reverse();

        let stack: Vec<_> = match kind {
            Kind::Circle => frames(lines().skip_while(|line| !line.starts_with("-> #0 "))),
            Kind::Context => frames(lines().skip_while(|line| *line != " <IRQ>")),
        };
        Some(Self {
            kind,
            wanted,
            held: lock_after("but task is already holding lock:"),
            order,
            stack,
        })
    }
}

/// The name of the lock in a line: `... (NAME){usage}-{types}...`.
fn lock(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once('(')?;
    Some(rest.split_once("){")?.0)
}

/// The functions after a headline, as far as there are, but for those that only may be some.
fn frames<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    lines
        .skip(1)
        .take_while(|line| line.contains("+0x"))
        .map(str::trim_start)
        .filter(|frame| !frame.starts_with("? "))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests;
