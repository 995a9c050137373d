// SPDX-License-Identifier: GPL-2.0

//! What is in `/proc/lockdep`.
//!
//! Source: `l_show()` in `kernel/locking/lockdep_proc.c`. A class is a line with its key, its
//! usage and its name; below it, a line for each class that was taken directly inside it.
//!
//! ```text
//! ffffffff8a2b3c4d OPS:     123 FD:    5 BD:    2 +.+.: &kvm->lock
//!  -> [ffffffff8a2b3c5e] &vcpu->mutex
//! ```

use anyhow::{bail, Context, Result};
use std::collections::{BTreeMap, BTreeSet};

/// The name of a class, without the number that tells classes of the same name apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Class {
    /// The name, as in C.
    pub name: String,
    /// The subclass, 0 if it has none.
    pub subclass: u32,
}

impl std::fmt::Display for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        match self.subclass {
            0 => Ok(()),
            subclass => write!(f, "/{subclass}"),
        }
    }
}

impl Class {
    /// From the name as printed: `name`, `#version` and `/subclass`, the latter two if not 0.
    pub fn parse(text: &str) -> Self {
        let (text, subclass) = number_after(text, '/').unwrap_or((text, 0));
        let (name, _version) = number_after(text, '#').unwrap_or((text, 0));
        Self {
            name: name.to_owned(),
            subclass,
        }
    }
}

/// Splits a number and the mark before it off the end.
fn number_after(text: &str, mark: char) -> Option<(&str, u32)> {
    let (before, number) = text.rsplit_once(mark)?;
    Some((before, number.parse().ok()?))
}

/// Which class was taken directly inside which.
#[derive(Debug, Default)]
pub struct Observed {
    /// The classes, each with those inside it.
    pub after: BTreeMap<Class, BTreeSet<Class>>,
}

impl Observed {
    /// Adds what was seen in another boot.
    pub fn add(&mut self, other: Self) {
        for (class, inner) in other.after {
            self.after.entry(class).or_default().extend(inner);
        }
    }

    /// Reads the text of `/proc/lockdep`.
    ///
    /// # Errors
    ///
    /// When it is not that, or from a kernel without `CONFIG_PROVE_LOCKING`.
    pub fn parse(text: &str) -> Result<Self> {
        let mut lines = text.lines().enumerate();
        if lines.next().map(|(_, line)| line.trim_end()) != Some("all lock classes:") {
            bail!("this is no /proc/lockdep: it does not start with \"all lock classes:\"");
        }
        let mut observed = Self::default();
        let mut proved = false;
        let mut outer = None;
        for (number, line) in lines {
            let wrong = || {
                format!(
                    "line {}: \"{line}\" is not as lockdep prints it",
                    number + 1
                )
            };
            if let Some(inner) = line.strip_prefix(" -> [") {
                let (_key, name) = inner.split_once("] ").with_context(wrong)?;
                let outer: &Class = outer.as_ref().with_context(wrong)?;
                let inside = observed.after.entry(outer.clone()).or_default();
                inside.insert(Class::parse(name));
            } else if !line.trim().is_empty() {
                let (has_usage, name) = class_line(line).with_context(wrong)?;
                proved |= has_usage;
                let class = Class::parse(name);
                observed.after.entry(class.clone()).or_default();
                outer = Some(class);
            }
        }
        if !proved {
            bail!("that kernel does not prove locking: build one with CONFIG_PROVE_LOCKING=y");
        }
        Ok(observed)
    }
}

/// The name in a class's line, and whether its usage is there too.
fn class_line(line: &str) -> Option<(bool, &str)> {
    let (_key, mut rest) = line
        .split_once([' ', ':'])
        .map(|(key, _)| line.split_at(key.len()))?;
    let mut has_usage = false;
    for label in [" OPS:", " FD:", " BD:"] {
        if let Some(count) = rest.strip_prefix(label) {
            let count = count.trim_start();
            rest = count.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-');
            has_usage |= label == " BD:";
        }
    }
    if has_usage {
        // Four characters or more, none of them a space.
        rest = rest.strip_prefix(' ')?;
        rest = &rest[rest.find(": ")?..];
    }
    Some((has_usage, rest.strip_prefix(": ")?))
}
