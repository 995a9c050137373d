// SPDX-License-Identifier: GPL-2.0
//! The part of Documentation/performance.rst that the benchmark writes.

use super::results::Results;
use super::tables::Table;
use anyhow::{Context, Result};

const BEGIN: &str = ".. What follows is written by make bench.\n";
const END: &str = ".. What precedes was written by make bench.\n";

/// What precedes its further tables.
const GROWTH: &str = "With more ports, vCPUs and VMs: C / Rust.";
const CONTENTION: &str = "Many senders at once, counted: C / Rust.";

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
    let mut parts = vec![
        format!("Commit {commit}, Linux {kernel}, {machine}; in {unit}."),
        Table::of_paths(results).rst(),
    ];
    parts.extend(results.summary().iter().map(|text| wrapped(text)));
    parts.extend([
        GROWTH.to_owned(),
        Table::of_growth(results).rst(),
        CONTENTION.to_owned(),
        Table::of_contention(results).rst(),
    ]);
    let parts: Vec<&str> = parts.iter().map(|part| part.trim_end()).collect();
    format!("\n{}\n\n", parts.join("\n\n"))
}

/// As lines of the document.
fn wrapped(text: &str) -> String {
    const WIDTH: usize = 100;
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.len() - 1;
        match &mut lines[last] {
            line if line.is_empty() => line.push_str(word),
            line if line.len() + 1 + word.len() <= WIDTH => *line += &format!(" {word}"),
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
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
