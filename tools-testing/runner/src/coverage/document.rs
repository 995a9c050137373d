// SPDX-License-Identifier: GPL-2.0
//! The part of Documentation/coverage.rst that is written by what was measured.

use super::lines::{cells, Lines};
use anyhow::{Context, Result};

const BEGIN: &str = ".. What follows is written by make coverage.\n";
const END: &str = ".. What precedes was written by make coverage.\n";

/// Room for the name of a file.
const WIDTH: usize = 30;

/// The document with this table in place of the one it has.
pub fn with(document: &str, lines: &Lines, kernel: &str) -> Result<String> {
    let missing = "Documentation/coverage.rst has no place for the table";
    let (before, rest) = document.split_once(BEGIN).context(missing)?;
    let (_, after) = rest.split_once(END).context(missing)?;
    let row = |[file, lines, ran, per_cent]: [String; 4]| {
        format!("{file:<WIDTH$}  {lines:>5}  {ran:>5}  {per_cent:>5}\n")
    };
    let rule = row([WIDTH, 5, 5, 5].map(|width| "=".repeat(width)));
    let head = row(["File", "Lines", "Ran", "%"].map(str::to_owned));
    let files = lines.files().map(|(file, count)| row(cells(file, count)));
    let files: String = files.collect();
    let all = row(cells("all", lines.all()));
    let text = format!("\nLinux {kernel}.\n\n{rule}{head}{rule}{files}{all}{rule}");
    Ok([before, BEGIN, &text, "\n", END, after].concat())
}

/// What has lines that did not run, and is not named with a reason.
pub fn unexplained(document: &str, lines: &Lines) -> Vec<String> {
    let missed = lines.missed().into_keys();
    let named = missed.map(|(file, function)| format!("``{file}``, ``{function}()``"));
    named.filter(|name| !document.contains(name)).collect()
}
