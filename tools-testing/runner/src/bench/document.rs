// SPDX-License-Identifier: GPL-2.0
//! The part of Documentation/performance.rst that the benchmark writes.

use super::results::{Results, COLUMNS, DELIVERIES};
use anyhow::{Context, Result};

const BEGIN: &str = ".. What follows is written by make bench.\n";
const END: &str = ".. What precedes was written by make bench.\n";

/// The document with these results in place of those it has.
pub fn with(document: &str, results: &Results) -> Result<String> {
    let missing = "Documentation/performance.rst has no place for results";
    let (before, rest) = document.split_once(BEGIN).context(missing)?;
    let (_, after) = rest.split_once(END).context(missing)?;
    Ok([before, BEGIN, &body(results), END, after].concat())
}

fn body(results: &Results) -> String {
    let Results {
        kernel,
        machine,
        unit,
        commit,
        ..
    } = results;
    let mut text = format!(
        "\nCommit {commit}, Linux {kernel}, {machine}; in {unit}.\n\n\
         .. list-table::\n   :header-rows: 1\n\n"
    );
    let mut row = |cells: Vec<String>| {
        for (at, cell) in cells.iter().enumerate() {
            let lead = if at == 0 { "   * - " } else { "     - " };
            text.push_str(format!("{lead}{cell}").trim_end());
            text.push('\n');
        }
    };
    row([&["path"], &COLUMNS[..]]
        .concat()
        .iter()
        .map(|name| name.to_string())
        .collect());
    results.rows().into_iter().for_each(row);
    text.push('\n');
    if let Some((mean, count)) = results.mean(&DELIVERIES) {
        text.push_str(&format!(
            "Of the {count} paths that deliver events Rust's part of C's cost above the floor is \
             {mean:.2},\nas a geometric mean.\n\n"
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::results;
    use super::*;

    #[test]
    fn the_rest_of_the_document_stays() {
        let results = results(100, 300, &[250]);
        let document = format!("before\n{BEGIN}old{END}after\n");
        let new = with(&document, &results).unwrap();
        assert!(new.starts_with("before\n") && new.ends_with("after\n"));
        assert!(new.contains("   * - path\n     - 300\n     - 250\n"));
        assert!(!new.contains("old"));
        assert_eq!(with(&new, &results).unwrap(), new);
        assert!(with("no place", &results).is_err());
    }
}
