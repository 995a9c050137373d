// SPDX-License-Identifier: GPL-2.0
//! Choosing tests by their names.

use anyhow::{Context, Result};
use glob::Pattern;

/// The kernel that a test is on, where that is not the usual one, and what it is called there.
pub fn of_kernel(name: &str) -> (Option<&str>, &str) {
    match name.split_once('/') {
        Some((kernel, test)) if kernel.starts_with(|first: char| first.is_ascii_digit()) => {
            (Some(kernel), test)
        }
        _ => (None, name),
    }
}

/// What the user asks for; nothing asked for is everything.
pub struct Selection {
    patterns: Vec<Wanted>,
}

enum Wanted {
    Part(String),
    Glob(Pattern),
}

impl Selection {
    /// From the command line, where one word may hold several patterns.
    pub fn new(words: &[String]) -> Result<Self> {
        let words = words.iter().flat_map(|word| word.split([' ', ',']));
        let patterns = words.filter(|word| !word.is_empty()).map(|word| {
            if word.contains(['*', '?', '[']) {
                let glob = Pattern::new(word).with_context(|| format!("the pattern {word}"))?;
                Ok(Wanted::Glob(glob))
            } else {
                Ok(Wanted::Part(word.to_owned()))
            }
        });
        Ok(Selection {
            patterns: patterns.collect::<Result<_>>()?,
        })
    }

    /// Whether nothing was asked for, so everything is chosen.
    pub fn is_all(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether the test of that name is chosen.
    pub fn has(&self, name: &str) -> bool {
        self.patterns.is_empty() || self.patterns.iter().any(|pattern| pattern.matches(name))
    }

    /// Whether a test may be chosen whose name is `group`, a slash, and something yet unknown.
    pub fn may_have_in(&self, group: &str) -> bool {
        self.has(group)
            || self
                .patterns
                .iter()
                .any(|pattern| pattern.reaches_into(group))
    }
}

impl Wanted {
    fn matches(&self, name: &str) -> bool {
        match self {
            Wanted::Part(part) => name.contains(part.as_str()),
            Wanted::Glob(glob) => glob.matches(name),
        }
    }

    fn reaches_into(&self, group: &str) -> bool {
        let group = format!("{group}/");
        let literal = match self {
            Wanted::Part(part) => part.as_str(),
            Wanted::Glob(glob) => {
                let text = glob.as_str();
                text.split(['*', '?', '[']).next().unwrap_or_default()
            }
        };
        match self {
            Wanted::Part(_) => literal.starts_with(&group),
            Wanted::Glob(_) => literal.starts_with(&group) || group.starts_with(literal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(words: &[&str]) -> Selection {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        Selection::new(&words).unwrap()
    }

    #[test]
    fn nothing_asked_for_is_everything() {
        assert!(selection(&[]).has("upstream/c/xen_shinfo_test"));
        assert!(selection(&[""]).has("fmt"));
    }

    #[test]
    fn parts_and_globs() {
        let some = selection(&["shinfo fmt", "selftests/*/port*"]);
        assert!(some.has("upstream/rust/xen_shinfo_test"));
        assert!(some.has("fmt"));
        assert!(some.has("selftests/c/ports_64"));
        assert!(!some.has("selftests/c/long_mode"));
        assert!(!some.has("upstream/c/xen_vmcall_test"));
    }

    #[test]
    fn groups_whose_tests_are_not_known_yet() {
        assert!(selection(&["host/runner/klog"]).may_have_in("host/runner"));
        assert!(selection(&["host/*"]).may_have_in("host/runner"));
        assert!(selection(&["host"]).may_have_in("host/runner"));
        assert!(!selection(&["upstream/*"]).may_have_in("host/runner"));
        assert!(!selection(&["klog"]).may_have_in("host/runner"));
    }

    #[test]
    fn the_kernel_of_a_test() {
        assert_eq!(of_kernel("fuzz/x"), (None, "fuzz/x"));
        assert_eq!(of_kernel("7.3-rt/fuzz/x"), (Some("7.3-rt"), "fuzz/x"));
    }

    #[test]
    fn a_bad_glob_is_told() {
        assert!(Selection::new(&["a[".to_owned()]).is_err());
    }
}
