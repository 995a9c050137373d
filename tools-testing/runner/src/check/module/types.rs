// SPDX-License-Identifier: GPL-2.0
//! What the module's types refuse and allow: files of `tools-testing/types`, compiled as a part of
//! the module itself, against the kernel that it is for.
//!
//! A line that is to be refused has a mark, `//~`, and after it words of the compiler's message. A
//! mark on a line of its own is for the line above.
//!
//! The examples in the documentation of `rust/sync` and `rust/livepatch` are allowed, too.

use crate::build_steps::{bare_make, copy, run};
use crate::check::context::Context;
use crate::check::names::TYPES;
use crate::paths::Kind;
use crate::report::Verdict;
use anyhow::{bail, Context as _, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Files that are compiled together.
struct Case {
    name: &'static str,
    /// The modules, each a file or a directory.
    modules: &'static [&'static str],
    /// As for a kernel with `PREEMPT_RT`.
    is_rt: bool,
    /// Whether lines with a mark are refused.
    refuses: bool,
    /// Whether there are the examples beside them.
    has_examples: bool,
}

const CASES: [Case; 3] = [
    Case {
        name: TYPES[0],
        modules: &["refused"],
        is_rt: false,
        refuses: true,
        has_examples: false,
    },
    Case {
        name: TYPES[1],
        modules: &["allowed", "tries"],
        is_rt: false,
        refuses: false,
        has_examples: true,
    },
    Case {
        name: TYPES[2],
        modules: &["allowed", "tries"],
        is_rt: true,
        refuses: true,
        has_examples: false,
    },
];

/// The directories of the module whose types have examples.
const WITH_EXAMPLES: [&str; 2] = ["sync", "livepatch"];

/// Lines of source, by file and number.
type Lines = BTreeMap<(String, usize), Vec<String>>;

/// Compiles the files of the test `name`.
pub fn verdict(context: &Context, name: &str) -> Verdict {
    let Some(case) = CASES.iter().find(|case| case.name == name) else {
        return Verdict::NotOk(format!("there is no {name}"), Vec::new());
    };
    match compile(context, case) {
        Ok((wanted, found)) => compare(&wanted, &found),
        Err(error) => Verdict::NotOk(format!("{error:#}"), Vec::new()),
    }
}

/// The lines that are to be refused, and those that were.
fn compile(context: &Context, case: &Case) -> Result<(Lines, Lines)> {
    let step = context.screen.step(format!("module/{}", case.name));
    let source = &context.paths.source;
    let scratch = source.join("build/types");
    let tree = scratch.join("source");
    copy(source, &["Kbuild", "rust", "include"], &tree)?;
    let root = tree.join("rust/kvm_xen_rs.rs");
    let mut text = fs::read_to_string(&root).with_context(|| root.display().to_string())?;
    let mut wanted = Lines::new();
    for module in case.modules {
        let directory = source.join("tools-testing/types");
        let file = format!("{module}.rs");
        let part = if directory.join(&file).exists() {
            &file
        } else {
            *module
        };
        copy(&directory, &[part], &tree.join("rust"))?;
        text += &format!("mod {module};\n");
        if case.refuses {
            marks(&directory.join(part), &mut wanted)?;
        }
    }
    if case.has_examples {
        text += &examples(&tree.join("rust"))?;
    }
    fs::write(&root, text).with_context(|| root.display().to_string())?;

    let kernel = context.paths.of_kind(Kind::Stock)?;
    let flags = if case.is_rt {
        " --cfg=CONFIG_PREEMPT_RT"
    } else {
        ""
    };
    let mut make = bare_make();
    make.arg("-C")
        .arg(kernel.source())
        .arg(format!("M={}", tree.display()))
        .arg(format!("MO={}", scratch.join("objects").display()))
        .arg(format!("RUSTFLAGS_MODULE=--error-format=short{flags}"))
        .arg("rust/kvm_xen_rs.o");
    let log = format!("host/module-{}.log", case.name.replace('/', "-"));
    let output = run(&mut make, &context.paths.logs.join(log), |line| {
        step.note(line.trim())
    })?;
    let found = errors(&output.lines);
    if output.ok != found.is_empty() {
        bail!(
            "the compiler did not get far:\n{}",
            output.tail(10).join("\n")
        );
    }
    Ok((wanted, found))
}

/// Writes a module for each file below `rust` that has examples, in the lines that they are in there.
/// Returns where the crate's root declares them.
fn examples(rust: &Path) -> Result<String> {
    let mut declared = String::new();
    for directory in WITH_EXAMPLES {
        let mut files = Vec::new();
        sources(&rust.join(directory), &mut files)?;
        for path in files {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let found = pure::examples::examples(&text, "");
            if !found.trim().is_empty() {
                let name = path.strip_prefix(rust)?.with_extension("");
                let name = format!("examples_{}", name.display()).replace('/', "_");
                let to = rust.join(&name).with_extension("rs");
                fs::write(&to, found).with_context(|| to.display().to_string())?;
                declared += &format!("#[allow(dead_code)]\nmod {name};\n");
            }
        }
    }
    Ok(declared)
}

/// Adds the Rust files below a directory.
fn sources(directory: &Path, to: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, to)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            to.push(path);
        }
    }
    Ok(())
}

/// Adds the marks of a file, or of those in a directory.
fn marks(path: &Path, to: &mut Lines) -> Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path).with_context(|| path.display().to_string())? {
            marks(&entry?.path(), to)?;
        }
        return Ok(());
    }
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let file = file_name(path);
    for (index, line) in text.lines().enumerate() {
        if let Some((code, words)) = line.split_once("//~") {
            let number = index + usize::from(!code.trim().is_empty());
            let words = words.trim().to_owned();
            to.entry((file.clone(), number)).or_default().push(words);
        }
    }
    Ok(())
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// The errors among what rustc prints with `--error-format=short`.
fn errors(lines: &[String]) -> Lines {
    let mut found = Lines::new();
    for line in lines {
        let Some((place, message)) = line.split_once(": error") else {
            continue;
        };
        let mut parts = place.rsplitn(3, ':').skip(1);
        let number = parts.next().and_then(|number| number.parse().ok());
        if let (Some(number), Some(path)) = (number, parts.next()) {
            let place = (file_name(Path::new(path)), number);
            found.entry(place).or_default().push(message.to_owned());
        }
    }
    found
}

fn compare(wanted: &Lines, found: &Lines) -> Verdict {
    let mut wrong = Vec::new();
    for ((file, number), words) in wanted {
        let said = found.get(&(file.clone(), *number));
        let said = said.map(Vec::as_slice).unwrap_or_default();
        for words in words {
            if !said.iter().any(|message| message.contains(words)) {
                wrong.push(format!("{file}:{number}: not refused by: {words} {said:?}"));
            }
        }
    }
    for ((file, number), said) in found {
        if !wanted.contains_key(&(file.clone(), *number)) {
            wrong.push(format!("{file}:{number}: {}", said.join("; ")));
        }
    }
    if wrong.is_empty() {
        Verdict::Ok
    } else {
        Verdict::NotOk("the compiler does not say what it should".into(), wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(of: &[(&str, usize, &str)]) -> Lines {
        let mut lines = Lines::new();
        for (file, number, text) in of {
            let place = ((*file).to_owned(), *number);
            lines.entry(place).or_default().push((*text).to_owned());
        }
        lines
    }

    #[test]
    fn errors_are_read() {
        let text = [
            "/src/build/types/source/rust/refused/order.rs:14:25: error[E0277]: `A` may not: `B`",
            "/src/build/types/source/rust/refused/order.rs:20:1: warning: unused",
            "error: aborting due to 1 previous error",
        ];
        let found = errors(&text.map(str::to_owned));
        assert_eq!(
            found,
            lines(&[("order.rs", 14, "[E0277]: `A` may not: `B`")])
        );
    }

    #[test]
    fn each_mark_and_each_error_counts() {
        let wanted = lines(&[("a.rs", 1, "may not"), ("a.rs", 5, "is private")]);
        let said = |of: &[(&str, usize, &str)]| compare(&wanted, &lines(of)) == Verdict::Ok;
        assert!(said(&[
            ("a.rs", 1, "it may not"),
            ("a.rs", 5, "x is private")
        ]));
        assert!(!said(&[("a.rs", 1, "it may not")]));
        assert!(!said(&[("a.rs", 1, "it may not"), ("a.rs", 5, "another")]));
        let more = [
            ("a.rs", 1, "may not"),
            ("a.rs", 5, "is private"),
            ("b.rs", 1, "x"),
        ];
        assert!(!said(&more));
    }

    #[test]
    fn examples_are_found() {
        let rust = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rust");
        let mut found = 0;
        for directory in WITH_EXAMPLES {
            let mut files = Vec::new();
            sources(&rust.join(directory), &mut files).unwrap();
            for file in files {
                let text = fs::read_to_string(file).unwrap();
                found += pure::examples::examples(&text, "")
                    .matches("fn line_")
                    .count();
            }
        }
        assert!(found > 15, "{found}");
    }

    #[test]
    fn marks_are_found() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../types/refused");
        let mut wanted = Lines::new();
        marks(&workspace, &mut wanted).unwrap();
        assert!(wanted.len() > 60, "{}", wanted.len());
    }
}
