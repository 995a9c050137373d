// SPDX-License-Identifier: GPL-2.0
//! Lines of our source that have code, and which of them ran.

use crate::build_steps::stdout;
use crate::table::{table, Align};
use anyhow::{Context, Result};
use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::io::{Seek, Write};
use std::path::Path;
use std::process::Command;

/// How many lines have code, and how many of them ran.
#[derive(Clone, Copy, Default)]
pub struct Count {
    /// With code.
    pub code: usize,
    /// That ran.
    pub ran: usize,
}

impl Count {
    /// How many of 100 ran.
    pub fn per_cent(self) -> f64 {
        100.0 * self.ran as f64 / self.code.max(1) as f64
    }
}

#[derive(Default)]
struct Line {
    /// The function whose line it is.
    function: String,
    ran: bool,
}

/// The lines of all files.
#[derive(Default)]
pub struct Lines(BTreeMap<String, BTreeMap<u32, Line>>);

impl Lines {
    /// What a profile of a module has of the files in `source`. The profile is kept in `directory`.
    pub fn new(module: &Path, profile: &[u8], directory: &Path, source: &Path) -> Result<Self> {
        let [raw, merged] =
            ["raw", "data"].map(|kind| directory.join(format!("module.prof{kind}")));
        fs::write(&raw, profile).with_context(|| raw.display().to_string())?;
        stdout(
            Command::new("llvm-profdata")
                .args(["merge", "-o"])
                .args([&merged, &raw]),
        )?;
        let mut profile = OsString::from("-instr-profile=");
        profile.push(&merged);
        let lcov = demangled(
            Command::new("llvm-cov")
                .args(["export", "-format=lcov"])
                .arg(profile)
                .arg(module),
        )?;
        let counted = demangled(
            Command::new("llvm-profdata")
                .args(["show", "--all-functions"])
                .arg(&merged),
        )?;
        Self::parse(&lcov, &counted, source)
    }

    /// Of lcov's format. A function has the lines up to the next one's; it has code if it is in the
    /// list of those that are counted.
    fn parse(lcov: &str, counted: &str, source: &Path) -> Result<Self> {
        let counted = counted.lines();
        let counted = counted.filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'));
        let counted: HashSet<&str> = counted.collect();
        let mut lines = Lines::default();
        // Some begin in the same line: a function for each of its types, say.
        let mut functions: BTreeMap<u32, (&str, bool)> = BTreeMap::new();
        let mut file = None;
        for line in lcov.lines() {
            match line.split_once(':') {
                Some(("SF", path)) => {
                    let path = Path::new(path).strip_prefix(source);
                    file = path.ok().map(|path| path.display().to_string());
                    functions.clear();
                }
                Some(("FN", function)) => {
                    let (line, path) = function.split_once(',').context("a function of lcov's")?;
                    let known = functions.entry(line.parse()?).or_insert((path, false));
                    known.1 |= counted.contains(path);
                }
                Some(("DA", line)) => {
                    let (number, count) = line.split_once(',').context("a line of lcov's")?;
                    let (number, ran) = (number.parse()?, count != "0");
                    let function = functions.range(..=number).next_back();
                    if let (Some((_, (path, true))), Some(file)) = (function, &file) {
                        let lines = lines.0.entry(file.clone()).or_default();
                        let function = name_of(path);
                        lines.insert(number, Line { function, ran });
                    }
                }
                _ => {}
            }
        }
        Ok(lines)
    }

    /// Each file, with its lines.
    pub fn files(&self) -> impl Iterator<Item = (&str, Count)> {
        self.0.iter().map(|(file, lines)| {
            let count = Count {
                code: lines.len(),
                ran: lines.values().filter(|line| line.ran).count(),
            };
            (file.as_str(), count)
        })
    }

    /// All lines.
    pub fn all(&self) -> Count {
        self.files().fold(Count::default(), |all, (_, one)| Count {
            code: all.code + one.code,
            ran: all.ran + one.ran,
        })
    }

    /// The lines that did not run, by file and function.
    pub fn missed(&self) -> BTreeMap<(&str, &str), Vec<u32>> {
        let mut missed: BTreeMap<_, Vec<u32>> = BTreeMap::new();
        for (file, lines) in &self.0 {
            for (&number, line) in lines.iter().filter(|(_, line)| !line.ran) {
                let of = (file.as_str(), line.function.as_str());
                missed.entry(of).or_default().push(number);
            }
        }
        missed
    }

    /// For a person.
    pub fn report(&self) -> Vec<String> {
        let columns = [
            ("file", Align::Left),
            ("lines", Align::Right),
            ("ran", Align::Right),
            ("%", Align::Right),
        ];
        let all = std::iter::once(("all", self.all()));
        let rows = self
            .files()
            .chain(all)
            .map(|(file, count)| cells(file, count).into());
        let mut report = table(&columns, &rows.collect::<Vec<Vec<String>>>());
        for ((file, function), lines) in self.missed() {
            let lines: Vec<_> = lines.iter().map(u32::to_string).collect();
            report.push(format!(
                "not run: {file}, {function}(): {}",
                lines.join(" ")
            ));
        }
        report
    }
}

/// A row of a table.
pub fn cells(file: &str, count: Count) -> [String; 4] {
    let Count { code, ran } = count;
    let per_cent = format!("{:.1}", count.per_cent());
    [file.to_owned(), code.to_string(), ran.to_string(), per_cent]
}

/// What a program prints, by the names that functions have in the source. c++filt knows Rust's, too.
fn demangled(command: &mut Command) -> Result<String> {
    let mut file = tempfile::tempfile()?;
    file.write_all(stdout(command)?.as_bytes())?;
    file.rewind()?;
    stdout(Command::new("c++filt").stdin(file))
}

/// A function's own name of its path. A closure is a part of the function that it is in.
fn name_of(path: &str) -> String {
    let mut depth = 0;
    let mut name = String::new();
    let mut last = String::new();
    let path = path.replace("->", "").replace("::{closure#", "\u{0}");
    for c in path.chars() {
        match c {
            '\u{0}' => break,
            '<' | '(' | '[' => depth += 1,
            '>' | ')' | ']' => depth -= 1,
            ':' if depth == 0 => {
                if !name.is_empty() {
                    last = std::mem::take(&mut name);
                }
            }
            _ if depth == 0 => name.push(c),
            _ => {}
        }
    }
    if name.is_empty() {
        last
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_functions() {
        for (path, name) in [
            ("kvm_xen_rs::evtchn::send::send", "send"),
            ("<kvm_xen_rs::kvm::Vm>::lock::<u8, fn() -> u8>", "lock"),
            ("<a::B as c::D<e::F>>::g::{closure#0}", "g"),
            ("a::b::<c>::{closure#0}::{closure#1}", "b"),
            ("kvm_xen_hypercall", "kvm_xen_hypercall"),
        ] {
            assert_eq!(name_of(path), name);
        }
    }

    #[test]
    fn lines_are_those_of_the_function_before() {
        let lcov =
            "SF:/s/a.rs\nFN:3,k::f\nFN:7,k::g\nFN:7,k::h\nFN:9,k::constant\nDA:3,5\nDA:8,0\n\
                    DA:9,0\nend_of_record\nSF:/core.rs\nDA:1,0\nend_of_record\n";
        let counted = "Counters:\n  k::f:\n    Hash: 0x1\n  k::g:\n";
        let lines = Lines::parse(lcov, counted, Path::new("/s")).unwrap();
        let missed: Vec<_> = lines.missed().into_iter().collect();
        assert_eq!(missed, [(("a.rs", "g"), vec![8])]);
        assert_eq!((lines.all().code, lines.all().ran), (2, 1));
    }
}
