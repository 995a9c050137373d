// SPDX-License-Identifier: GPL-2.0
//! The part of Documentation/upstream.rst that is written by what was tried.

use super::outcome::Tried;
use anyhow::{Context, Result};

const BEGIN: &str = ".. What follows is written by make check-upstream.\n";
const END: &str = ".. What precedes was written by make check-upstream.\n";

/// The columns.
const HEAD: [&str; 9] = [
    "Patch",
    "For",
    "Reproducer",
    "Before",
    "After",
    "On Rust",
    "Upstream's tests",
    "checkpatch",
    "Needed by, and its cost",
];

/// The document with this table in place of the one it has.
pub fn with(document: &str, tried: &[Tried], kernel: &str, engine: &str) -> Result<String> {
    let missing = "Documentation/upstream.rst has no place for the table";
    let (before, rest) = document.split_once(BEGIN).context(missing)?;
    let (_, after) = rest.split_once(END).context(missing)?;
    let rows = tried.iter().map(|tried| row(&tried.cells()));
    let rows: String = rows.collect();
    let head = row(&HEAD.map(str::to_owned));
    let text = format!(
        "\nLinux {kernel} with lockdep and KASAN, by {engine}.\n\n\
         .. list-table::\n   :header-rows: 1\n\n{head}{rows}"
    );
    Ok([before, BEGIN, &text, "\n", END, after].concat())
}

fn row(cells: &[String]) -> String {
    let mut text = String::new();
    for (at, cell) in cells.iter().enumerate() {
        let lead = if at == 0 { "   * - " } else { "     - " };
        text.push_str(format!("{lead}{cell}").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::outcome::tests::tried;
    use super::*;

    #[test]
    fn the_rest_of_the_document_stays() {
        let document = format!("before\n{BEGIN}old{END}after\n");
        let new = with(&document, &[tried()], "7.3.4", "emulation").unwrap();
        assert!(new.starts_with("before\n") && new.ends_with("after\n"));
        assert!(new.contains("   * - ``do-it``\n     - `A thing <c-bugs.rst>`__\n"));
        assert!(!new.contains("old"));
        assert_eq!(with(&new, &[tried()], "7.3.4", "emulation").unwrap(), new);
        assert!(with("no place", &[], "7.3.4", "emulation").is_err());
    }
}
