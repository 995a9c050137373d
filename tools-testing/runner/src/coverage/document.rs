// SPDX-License-Identifier: GPL-2.0
//! The part of Documentation/coverage.rst that is written by what was measured.

use super::lines::{cells, Lines};
use anyhow::{Context, Result};

const BEGIN: &str = ".. What follows is written by make coverage.\n";
const END: &str = ".. What precedes was written by make coverage.\n";

/// The document with this table in place of the one it has.
pub fn with(document: &str, lines: &Lines, kernel: &str) -> Result<String> {
    let missing = "Documentation/coverage.rst has no place for the table";
    let (before, rest) = document.split_once(BEGIN).context(missing)?;
    let (_, after) = rest.split_once(END).context(missing)?;
    let mut text = format!(
        "\nLinux {kernel}.\n\n.. list-table::\n   :header-rows: 1\n\n   * - File\n     - Lines\n     \
         - Ran\n     - %\n"
    );
    for (file, count) in lines.files().chain([("all", lines.all())]) {
        let [file, rest @ ..] = cells(file, count);
        text.push_str(&format!("   * - {file}\n"));
        rest.iter()
            .for_each(|cell| text.push_str(&format!("     - {cell}\n")));
    }
    Ok([before, BEGIN, &text, "\n", END, after].concat())
}

/// What has lines that did not run, and is not named with a reason.
pub fn unexplained(document: &str, lines: &Lines) -> Vec<String> {
    let missed = lines.missed().into_keys();
    let named = missed.map(|(file, function)| format!("``{file}``, ``{function}()``"));
    named.filter(|name| !document.contains(name)).collect()
}
