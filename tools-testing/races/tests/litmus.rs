// SPDX-License-Identifier: GPL-2.0

//! What the litmus tests of `tools-testing/litmus` say of themselves: herd7, which runs them, may
//! not be there, and knows nothing of the module.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Names of tests, and their text.
fn tests() -> Vec<(String, String)> {
    let files = fs::read_dir(root().join("tools-testing/litmus")).unwrap();
    let named = files.filter_map(|file| {
        let path = file.unwrap().path();
        let name = path.file_name()?.to_str()?.strip_suffix(".litmus")?;
        Some((name.to_owned(), fs::read_to_string(&path).unwrap()))
    });
    named.collect()
}

/// What the lines of the comment say that begin with `key`.
fn said<'t>(text: &'t str, key: &str) -> Vec<&'t str> {
    let head = text.split(" *)").next().unwrap_or_default();
    let lines = head.lines().filter_map(|line| line.strip_prefix(" * "));
    lines.filter_map(|line| line.strip_prefix(key)).collect()
}

/// The twins that the test says it has.
fn twins(text: &str) -> BTreeSet<String> {
    let said = said(text, "Twin ").into_iter();
    let names = said.filter_map(|twin| Some(twin.split_once(": ")?.0.to_owned()));
    names.collect()
}

/// The twins that the preprocessor can make of it.
fn made(text: &str) -> BTreeSet<String> {
    let conditions = text.lines().filter(|line| line.starts_with("#if"));
    let words =
        conditions.flat_map(|line| line.split(|c: char| !(c.is_ascii_uppercase() || c == '_')));
    let macros = words.filter(|word| !word.is_empty());
    macros
        .map(|word| word.to_lowercase().replace('_', "-"))
        .collect()
}

/// Whether a text of the module's has a function.
fn has_function(text: &str, name: &str) -> bool {
    ["(", "<"]
        .iter()
        .any(|after| text.contains(&format!("fn {name}{after}")))
}

/// Why a file and function that a test names are none of the module's, if so.
fn unknown(model: &str, read: &impl Fn(&str) -> Option<String>) -> Option<String> {
    let named = model
        .strip_suffix("()")
        .and_then(|model| model.split_once(' '));
    let Some((file, function)) = named.filter(|(file, _)| file.starts_with("rust/")) else {
        return Some(format!("`{model}` is no file of rust/ and function"));
    };
    match read(file) {
        None => Some(format!("there is no {file}")),
        Some(text) if !has_function(&text, function) => Some(format!("{file} has no {function}()")),
        Some(_) => None,
    }
}

/// What is wrong with a test, where `read` has the module's files and `table` the document.
fn problems(
    (name, text): &(String, String),
    read: impl Fn(&str) -> Option<String>,
    table: &str,
) -> Vec<String> {
    let (twins, models) = (twins(text), said(text, "Models: "));
    let mut problems: Vec<String> = models
        .iter()
        .filter_map(|model| unknown(model, &read))
        .collect();
    let mut unless = |holds: bool, what: String| {
        if !holds {
            problems.push(what);
        }
    };
    let is_named = text.lines().next() == Some(&format!("C {name}"));
    unless(is_named, "its first line has another name".into());
    let asks = text.lines().any(|line| line.starts_with("exists ("));
    unless(asks, "it asks for no outcome".into());
    unless(!twins.is_empty(), "it has no twin".into());
    unless(
        twins == made(text),
        "it has other twins than it says".into(),
    );
    unless(!models.is_empty(), "it names nothing that it models".into());
    let named = twins.iter().map(|twin| format!("{name}+{twin}"));
    for name in named.chain([name.clone()]) {
        let known = table.contains(&format!("``{name}``"));
        unless(known, format!("testing.rst does not have {name}"));
    }
    problems
}

fn read(file: &str) -> Option<String> {
    fs::read_to_string(root().join(file)).ok()
}

#[test]
fn each_has_a_result_a_twin_and_what_it_models() {
    let tests = tests();
    assert!(tests.len() >= 30, "there are {}", tests.len());
    let table = read("Documentation/testing.rst").unwrap();
    for test in tests {
        let problems = problems(&test, read, &table);
        assert!(problems.is_empty(), "{}: {problems:#?}", test.0);
    }
}

#[test]
fn each_mistake_is_found() {
    const GOOD: &str =
        "C a\n\n(*\n * Models: rust/x.rs f()\n *\n * Twin b-c: So.\n *)\n\n#ifdef B_C\nexists (x=0)\n";
    let found = |from: &str, to: &str, table: &str| {
        let read = |file: &str| (file == "rust/x.rs").then(|| "fn f<H>() {}".to_owned());
        problems(&("a".to_owned(), GOOD.replace(from, to)), read, table)
    };
    const TABLE: &str = "``a`` ``a+b-c``";
    assert_eq!(found("nothing", "", TABLE), [""; 0]);
    for (from, to, what) in [
        ("C a\n", "C b\n", "its first line has another name"),
        ("exists", "forall", "it asks for no outcome"),
        (" * Twin b-c: So.\n", "", "it has no twin"),
        ("B_C", "B", "it has other twins than it says"),
        (
            " * Models: rust/x.rs f()\n",
            "",
            "it names nothing that it models",
        ),
        ("rust/x.rs", "rust/y.rs", "there is no rust/y.rs"),
        ("f()", "g()", "rust/x.rs has no g()"),
        (
            "rust/x.rs f()",
            "f()",
            "`f()` is no file of rust/ and function",
        ),
    ] {
        let found = found(from, to, TABLE);
        assert!(found.iter().any(|found| found == what), "{what}: {found:?}");
    }
    assert_eq!(found("", "", "``a``"), ["testing.rst does not have a+b-c"]);
}
