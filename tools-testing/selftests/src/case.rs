// SPDX-License-Identifier: GPL-2.0
//! Cases, their names, and the choice of them on the command line.

use glob::Pattern;

use harness::abi::Abi;
use harness::kernel::Has;
use harness::outcome::Outcome;

/// How often a case runs.
#[derive(Clone, Copy)]
pub enum Run {
    /// Once.
    Once(fn() -> Outcome),
    /// For each word size of the guest.
    EachAbi(fn(Abi) -> Outcome),
}

/// An entry of a topic's table.
#[derive(Clone, Copy)]
pub struct Entry {
    /// What the case checks.
    pub name: &'static str,
    /// The function that checks it.
    pub run: Run,
    /// What C gets wrong, if it does: the case passes in Rust, and fails in C.
    pub better_in_rust: Option<&'static str>,
    /// What kernels have where C gets it right, if some do.
    pub until: Option<Has>,
}

/// The cases of one file.
pub struct Topic {
    /// First part of the names of its cases.
    pub name: &'static str,
    /// Its cases, in the order in which they run.
    pub entries: &'static [Entry],
}

/// Declares the cases of a file: `topic! { "name"; once f, each_abi g }`. A case
/// that C has to fail has a reason: `once h better_in_rust("what C gets wrong")`, and
/// says if there are kernels where it does not: `until(RunstateClockBackwards)`.
#[macro_export]
macro_rules! topic {
    ($name:literal; $($kind:ident $function:ident $(better_in_rust($why:literal) $(until($has:ident))?)?),+ $(,)?) => {
        /// The cases of this file.
        pub const TOPIC: $crate::case::Topic = $crate::case::Topic {
            name: $name,
            entries: &[$($crate::case::Entry {
                name: stringify!($function),
                run: $crate::topic!(@run $kind $function),
                better_in_rust: $crate::topic!(@why $($why)?),
                until: $crate::topic!(@until $($($has)?)?),
            }),+],
        };
    };
    (@run once $function:ident) => { $crate::case::Run::Once($function) };
    (@run each_abi $function:ident) => { $crate::case::Run::EachAbi($function) };
    (@until) => { None };
    (@until $has:ident) => { Some(harness::kernel::Has::$has) };
    (@why) => { None };
    (@why $why:literal) => { Some($why) };
}

/// A case as it runs: with a full name, and its word size chosen.
pub struct Case {
    /// `topic/what_it_checks`, with the word size where there are two.
    pub name: String,
    /// What C gets wrong, if the case fails there.
    pub better_in_rust: Option<&'static str>,
    /// What kernels have where C gets it right, if some do.
    pub until: Option<Has>,
    run: Box<dyn Fn() -> Outcome>,
}

impl Case {
    /// Runs it in this process.
    pub fn run(&self) -> Outcome {
        (self.run)()
    }
}

/// All cases of `topics`, in order.
pub fn expand(topics: &[&Topic]) -> Vec<Case> {
    let mut cases = Vec::new();
    for topic in topics {
        for entry in topic.entries {
            let name = format!("{}/{}", topic.name, entry.name);
            match entry.run {
                Run::Once(run) => cases.push(Case {
                    name,
                    better_in_rust: entry.better_in_rust,
                    until: entry.until,
                    run: Box::new(run),
                }),
                Run::EachAbi(run) => cases.extend(Abi::ALL.map(|abi| Case {
                    name: format!("{name}/{}", abi.name()),
                    better_in_rust: entry.better_in_rust,
                    until: entry.until,
                    run: Box::new(move || run(abi)),
                })),
            }
        }
    }
    cases
}

/// A choice of cases by name.
pub struct Filter(Vec<Pattern>);

impl Filter {
    /// Takes words: one with `*`, `?` or `[` is a glob over the whole name,
    /// another matches anywhere in it. No word at all chooses every case.
    pub fn new(words: &[String]) -> Result<Self, glob::PatternError> {
        let patterns = words.iter().map(|word| {
            if word.contains(['*', '?', '[']) {
                Pattern::new(word)
            } else {
                Pattern::new(&format!("*{word}*"))
            }
        });
        patterns.collect::<Result<_, _>>().map(Self)
    }

    /// Whether the case of this name is chosen.
    pub fn matches(&self, name: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|pattern| pattern.matches(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn once() -> Outcome {
        Ok(())
    }
    fn both(_: Abi) -> Outcome {
        Ok(())
    }
    topic! { "t"; once once, each_abi both }

    fn filter(words: &[&str]) -> Filter {
        let words: Vec<_> = words.iter().map(|word| word.to_string()).collect();
        Filter::new(&words).unwrap()
    }

    #[test]
    fn names_carry_topic_and_word_size() {
        let names: Vec<_> = expand(&[&TOPIC]).into_iter().map(|c| c.name).collect();
        assert_eq!(names, ["t/once", "t/both/32bit", "t/both/64bit"]);
    }

    #[test]
    fn filters() {
        assert!(filter(&[]).matches("a/b"));
        assert!(filter(&["/b"]).matches("a/bc"));
        assert!(!filter(&["/c"]).matches("a/bc"));
        assert!(filter(&["x", "a/*"]).matches("a/bc"));
        assert!(!filter(&["b*"]).matches("a/bc"));
        assert!(Filter::new(&["[".to_string()]).is_err());
    }
}
