// SPDX-License-Identifier: GPL-2.0
//! Tables for people.

/// How a column's cells stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Lines of a table: the heading, a rule, and the rows, each column as wide as it must be.
pub fn table(columns: &[(&str, Align)], rows: &[Vec<String>]) -> Vec<String> {
    let width = |n: usize| {
        let cells = rows.iter().filter_map(|row| row.get(n));
        let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        widest.max(columns[n].0.chars().count())
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let cells = cells.iter().zip(columns).zip(&widths);
        let cells: Vec<String> = cells
            .map(|((cell, (_, align)), width)| match align {
                Align::Left => format!("{cell:<width$}"),
                Align::Right => format!("{cell:>width$}"),
            })
            .collect();
        format!("  {}", cells.join("  ").trim_end())
    };
    let rule: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
    let mut lines = vec![
        line(columns.iter().map(|(name, _)| *name).collect()),
        line(rule.iter().map(String::as_str).collect()),
    ];
    lines.extend(
        rows.iter()
            .map(|row| line(row.iter().map(String::as_str).collect())),
    );
    lines
}

/// A number with its thousands apart.
pub fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = vec![
            vec!["evtchn_set_fn".to_owned(), "7".to_owned()],
            vec!["f".to_owned(), "1,234".to_owned()],
        ];
        let lines = table(&[("function", Align::Left), ("n", Align::Right)], &rows);
        assert_eq!(lines[0], "  function           n");
        assert_eq!(lines[2], "  evtchn_set_fn      7");
        assert_eq!(lines[3], "  f              1,234");
    }

    #[test]
    fn thousands() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(1000), "1,000");
        assert_eq!(number(7_914_000), "7,914,000");
    }
}
