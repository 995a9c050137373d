// SPDX-License-Identifier: GPL-2.0
//! Lines of our source that have code, and which of them ran.

use super::places::Place;
use crate::table::{table, Align};
use anyhow::{bail, Context, Result};
use std::collections::{BTreeMap, HashMap, HashSet};
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
    /// Of the files in `source` that these places of a module were made from. A line's code may be in
    /// several of them, inlined; it has run if any has.
    pub fn new(module: &Path, source: &Path, places: &[Place], ran: &HashSet<u32>) -> Result<Self> {
        let mut sections: HashMap<&str, HashMap<u64, bool>> = HashMap::new();
        for place in places {
            let has_run = ran.contains(&place.number);
            let section = sections.entry(&place.section).or_default();
            section.extend(place.code.iter().map(|&address| (address, has_run)));
        }
        let mut lines = Lines::default();
        for (section, code) in sections {
            lines.add(&addr2line(module, section, code.keys())?, source, &code)?;
        }
        Ok(lines)
    }

    /// From what addr2line says: an address, and a function and a line for each frame of it.
    fn add(&mut self, text: &str, source: &Path, code: &HashMap<u64, bool>) -> Result<()> {
        let mut said = text.lines();
        let mut has_run = false;
        while let Some(line) = said.next() {
            if let Some(address) = line.strip_prefix("0x") {
                let address = u64::from_str_radix(address, 16).context("addr2line")?;
                has_run = code.get(&address).copied().unwrap_or(false);
                continue;
            }
            let place = said.next().context("addr2line tells no line")?;
            let (file, number) = place.rsplit_once(':').context("addr2line tells no line")?;
            let Ok(file) = Path::new(file).strip_prefix(source) else {
                continue;
            };
            // What has no line of its own has none, or 0.
            let number = number.split(' ').next().and_then(|word| word.parse().ok());
            if let Some(number @ 1..) = number {
                let file = self.0.entry(file.display().to_string()).or_default();
                let known = file.entry(number).or_default();
                known.function = function(line);
                known.ran |= has_run;
            }
        }
        Ok(())
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

/// What addr2line says of these addresses.
fn addr2line<'a>(
    module: &Path,
    section: &str,
    addresses: impl Iterator<Item = &'a u64>,
) -> Result<String> {
    let mut input = tempfile::tempfile()?;
    for address in addresses {
        writeln!(input, "{address:#x}")?;
    }
    input.rewind()?;
    let output = Command::new("addr2line")
        .args(["--addresses", "--inlines", "--functions", "--demangle"])
        .arg(format!("--section={section}"))
        .arg("--exe")
        .arg(module)
        .stdin(input)
        .output()
        .context("starting addr2line")?;
    if !output.status.success() {
        bail!(
            "addr2line: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A function's own name of its path. A closure is a part of the function that it is in.
fn function(path: &str) -> String {
    let mut depth = 0;
    let mut name = String::new();
    let mut last = String::new();
    for c in path.replace("::{closure#", "\u{0}").chars() {
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
            assert_eq!(function(path), name);
        }
    }

    #[test]
    fn a_line_has_run_if_any_of_its_code_has() {
        let said = "0x0000000000000001\na::f\n/s/a.rs:7\na::g\n/s/a.rs:9 (discriminator 2)\n\
                    0x0000000000000002\ncore::x\n/core.rs:1\na::f\n/s/a.rs:7\n\
                    0x0000000000000003\na::h\n/s/a.rs:?\na::h\n/s/b.rs:3\n";
        let mut lines = Lines::default();
        let code = HashMap::from([(1, false), (2, true), (3, false)]);
        lines.add(said, Path::new("/s"), &code).unwrap();
        let missed: Vec<_> = lines.missed().into_iter().collect();
        assert_eq!(missed, [(("a.rs", "g"), vec![9]), (("b.rs", "h"), vec![3])]);
        assert_eq!((lines.all().code, lines.all().ran), (3, 1));
    }
}
