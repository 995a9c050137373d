// SPDX-License-Identifier: GPL-2.0
//! Documentation/performance.svg: Rust's part of C's cost above the floor, a bar for each path.

use super::results::Results;
use std::fmt::Write;

/// Pixels of a row, of the names, and of what costs as much as in C.
const ROW: usize = 16;
const NAMES: usize = 300;
const ONE: f64 = 300.0;

/// The picture.
pub fn draw(results: &Results) -> String {
    let paths = results.paths.iter();
    let bars: Vec<(&str, f64)> = paths
        .filter_map(|path| Some((path.name.as_str(), results.ratio_above(path)?)))
        .collect();
    let most = bars.iter().map(|(_, ratio)| *ratio).fold(1.0, f64::max);
    let width = NAMES + (most * ONE) as usize + 60;
    let height = (bars.len() + 2) * ROW;
    let mut svg = String::new();
    let mut line = |text: std::fmt::Arguments| {
        // To write to a string can't fail.
        let _ = writeln!(svg, "{text}");
    };
    line(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"11\">"
    ));
    line(format_args!(
        "<!-- SPDX-License-Identifier: GPL-2.0 -->\n<!-- Written by make bench. -->"
    ));
    line(format_args!(
        "<rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>"
    ));
    for (at, (name, ratio)) in bars.iter().enumerate() {
        let top = (at + 1) * ROW;
        let base = top + ROW - 5;
        let long = ratio * ONE;
        let color = if *ratio <= 1.0 { "#4c78a8" } else { "#d1495b" };
        line(format_args!(
            "<text x=\"{}\" y=\"{base}\" text-anchor=\"end\">{name}</text>",
            NAMES - 6
        ));
        line(format_args!(
            "<rect x=\"{NAMES}\" y=\"{}\" width=\"{long:.0}\" height=\"{}\" fill=\"{color}\"/>",
            top + 2,
            ROW - 4
        ));
        line(format_args!(
            "<text x=\"{:.0}\" y=\"{base}\">{ratio:.2}</text>",
            NAMES as f64 + long + 4.0
        ));
    }
    let one = NAMES as f64 + ONE;
    line(format_args!(
        "<line x1=\"{one}\" x2=\"{one}\" y1=\"{ROW}\" y2=\"{}\" stroke=\"black\"/>",
        height - ROW
    ));
    line(format_args!(
        "<text x=\"{one}\" y=\"{}\" text-anchor=\"middle\">as much as C</text>",
        ROW - 4
    ));
    line(format_args!("</svg>"));
    svg
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::results;
    use super::draw;

    #[test]
    fn a_bar_for_each_path_above_a_floor() {
        let svg = draw(&results(100, 300, &[250]));
        assert!(svg.contains(">path</text>") && svg.contains(">0.75</text>"));
        assert!(svg.contains("width=\"225\""));
        assert!(!svg.contains(">floor</text>"));
    }
}
