// SPDX-License-Identifier: GPL-2.0

//! What the litmus tests of `tools-testing/litmus` say of themselves: herd7, which runs them, may
//! not be there, and knows nothing of the module.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Names of tests, and their text.
type Tests = BTreeMap<String, String>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn tests() -> Tests {
    let mut tests = Tests::new();
    for entry in fs::read_dir(root().join("tools-testing/litmus")).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "litmus")
        {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            tests.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
    tests
}

/// What the lines of the comment say that begin with `key`.
fn said<'t>(text: &'t str, key: &str) -> Vec<&'t str> {
    let head = text.split(" *)").next().unwrap_or_default();
    let said = head.lines().filter_map(|line| {
        let (name, value) = line.strip_prefix(" * ")?.split_once(": ")?;
        (name == key).then_some(value)
    });
    said.collect()
}

/// The outcome that is asked for.
fn condition(text: &str) -> Option<&str> {
    text.lines().find(|line| line.starts_with("exists ("))
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

/// What is wrong with the tests, where `read` has the module's files and `table` the document.
fn problems(
    tests: &Tests,
    read: impl Fn(&str) -> Option<String>,
    table: &str,
) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    for (name, text) in tests {
        let mut problem = |what: String| problems.push((name.clone(), what));
        if text.lines().next() != Some(&format!("C {name}")) {
            problem("its first line has another name".to_owned());
        }
        if condition(text).is_none() {
            problem("it asks for no outcome".to_owned());
        }
        if !table.contains(&format!("``{name}``")) {
            problem("testing.rst does not have it".to_owned());
        }
        let (results, twins) = (said(text, "Result"), said(text, "Twin of"));
        if let &[of] = twins.as_slice() {
            if results != ["Sometimes"] {
                problem("it is to show that a test can fail".to_owned());
            }
            if !name.starts_with(&format!("{of}+")) {
                problem(format!("its name is not that of {of} and more"));
            }
            match tests.get(of) {
                Some(other) if condition(other) == condition(text) => {}
                Some(_) => problem(format!("it asks for another outcome than {of}")),
                None => problem(format!("there is no {of}")),
            }
            continue;
        }
        if !twins.is_empty() {
            problem("it is a twin of several".to_owned());
        }
        if results != ["Never"] {
            problem("its result is not `Never`".to_owned());
        }
        let twin = |text: &String| said(text, "Twin of") == [name.as_str()];
        if !tests.values().any(twin) {
            problem("it has no twin".to_owned());
        }
        let models = said(text, "Models");
        if models.is_empty() {
            problem("it names nothing that it models".to_owned());
        }
        for why in models.into_iter().filter_map(|model| unknown(model, &read)) {
            problem(why);
        }
    }
    problems
}

fn read(file: &str) -> Option<String> {
    fs::read_to_string(root().join(file)).ok()
}

#[test]
fn each_has_a_result_a_twin_and_what_it_models() {
    let tests = tests();
    assert!(tests.len() >= 40, "there are {}", tests.len());
    let table = read("Documentation/testing.rst").unwrap();
    let problems = problems(&tests, read, &table);
    assert!(problems.is_empty(), "{problems:#?}");
}

const GOOD: &str =
    "C a\n\n(*\n * Result: Never\n *\n * Models: rust/x.rs f()\n *)\n\nexists (x=0)\n";
const TWIN: &str = "C a+b\n\n(*\n * Result: Sometimes\n *\n * Twin of: a\n *)\n\nexists (x=0)\n";

/// What is found where a text of the one or the other is another one.
fn found(from: &str, to: &str) -> Vec<String> {
    let tests = [("a", GOOD), ("a+b", TWIN)].map(|(name, text)| {
        let changed = text.replace(from, to);
        (name.to_owned(), changed)
    });
    let read = |file: &str| (file == "rust/x.rs").then(|| "fn f() {}".to_owned());
    let problems = problems(&Tests::from(tests), read, "``a`` ``a+b``");
    problems.into_iter().map(|(_, what)| what).collect()
}

#[test]
fn each_mistake_is_found() {
    assert_eq!(found("nothing", ""), [""; 0]);
    for (from, to, what) in [
        ("C a\n", "C b\n", "its first line has another name"),
        ("exists", "forall", "it asks for no outcome"),
        (
            "Result: Never",
            "Result: Sometimes",
            "its result is not `Never`",
        ),
        (" * Result: Never\n", "", "its result is not `Never`"),
        (
            "Result: Sometimes",
            "Result: Never",
            "it is to show that a test can fail",
        ),
        ("Twin of: a", "Twin of: c", "it has no twin"),
        ("Twin of: a", "Twin of: c", "there is no c"),
        (
            "Twin of: a\n *)\n\nexists (x=0)",
            "Twin of: a\n *)\n\nexists (x=1)",
            "it asks for another outcome than a",
        ),
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
        let found = found(from, to);
        assert!(found.iter().any(|found| found == what), "{what}: {found:?}");
    }
    let tests = Tests::from([("a".to_owned(), GOOD.to_owned())]);
    let alone = problems(&tests, |_| Some("fn f<H>()".to_owned()), "");
    let alone: Vec<_> = alone.iter().map(|(_, what)| what.as_str()).collect();
    assert_eq!(alone, ["testing.rst does not have it", "it has no twin"]);
}
