// SPDX-License-Identifier: GPL-2.0

//! The examples in the documentation of the module's files. Doctests see what is public alone, and
//! nothing of the module is: so they are made functions of, that are compiled as a part of the
//! module, or run as a part of this crate.

/// The examples in a file's text, each as a function with `attribute`, in the lines that they are in;
/// all other lines are empty. What has a language, as "text", is none of Rust.
pub fn examples(text: &str, attribute: &str) -> String {
    let mut inside = None;
    let mut out = String::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start();
        let doc = ["/// ", "//! ", "///", "//!"];
        let doc = doc.iter().find_map(|mark| line.strip_prefix(mark));
        match (inside, doc) {
            (None, Some("```")) => {
                out += &format!("{attribute} fn line_{number}() {{");
                inside = Some(true);
            }
            (None, Some(doc)) if doc.starts_with("```") => inside = Some(false),
            (Some(is_rust), Some("```")) => {
                out += if is_rust { "}" } else { "" };
                inside = None;
            }
            (Some(true), Some(doc)) => out += doc,
            _ => {}
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::examples;

    #[test]
    fn an_example_is_a_function_in_its_lines() {
        let text =
            "//! ```\n//! f();\n//! ```\n    /// A.\n    ///\n    /// ```\n    ///     g();\n\
            \x20   ///\n    /// ```\nfn a() {}\n/// ```text\n/// no\n/// ```\n";
        let found = examples(text, "#[test]");
        let lines: Vec<_> = found.lines().collect();
        assert_eq!(lines[..3], ["#[test] fn line_1() {", "f();", "}"]);
        assert_eq!(
            lines[3..9],
            ["", "", "#[test] fn line_6() {", "    g();", "", "}"]
        );
        assert!(lines.len() == 13 && lines[9..].iter().all(|line| line.is_empty()));
    }
}
