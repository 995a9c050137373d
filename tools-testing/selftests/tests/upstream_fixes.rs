// SPDX-License-Identifier: GPL-2.0
//! Documentation/upstream-fixes.rst names tests that there are, for each fix, and kernels.rst for
//! each difference of kernels.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::kernel::Has;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The rows of all tables, without their heads: the text of each cell.
fn rows(document: &str) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut in_row = false;
    for line in document.lines() {
        if let Some(cell) = line.strip_prefix("   * - ") {
            rows.push(vec![cell.trim().to_owned()]);
            in_row = true;
        } else if let (true, Some(cell)) = (in_row, line.strip_prefix("     - ")) {
            rows.last_mut().expect("begun").push(cell.trim().to_owned());
        } else if let (true, Some(rest)) = (in_row, line.strip_prefix("       ")) {
            let cell = rows.last_mut().and_then(|row| row.last_mut());
            let cell = cell.expect("begun");
            cell.push(' ');
            cell.push_str(rest.trim());
        } else {
            in_row = false;
        }
    }
    rows.retain(|row| row.last().is_some_and(|cell| cell != "Tests"));
    rows
}

/// What is between double backquotes.
fn names(cell: &str) -> Vec<&str> {
    cell.split("``").skip(1).step_by(2).collect()
}

/// The selftests, without the word size.
fn selftests() -> BTreeSet<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_kvm-xen-selftests"))
        .arg("--list")
        .output()
        .expect("the selftests run");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("names are text");
    text.lines()
        .map(|name| name.trim_end_matches("/32bit").trim_end_matches("/64bit"))
        .map(str::to_owned)
        .collect()
}

/// Whether a file of Rust below `directory` has `text` in it.
fn in_source(directory: &Path, text: &str) -> bool {
    let Ok(entries) = fs::read_dir(directory) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return in_source(&path, text);
        }
        path.extension().is_some_and(|extension| extension == "rs")
            && fs::read_to_string(&path).is_ok_and(|source| source.contains(text))
    })
}

/// Whether there is a test of this name.
fn exists(name: &str, selftests: &BTreeSet<String>) -> bool {
    let tools = repository().join("tools-testing");
    let last = name.rsplit('/').next().unwrap_or(name);
    match name.split_once('/') {
        Some(("host", rest)) => {
            let (package, test) = rest.split_once('/').unwrap_or((rest, ""));
            let function = test.rsplit("::").next().unwrap_or(test);
            in_source(&tools.join(package), &format!("fn {function}("))
        }
        Some(("upstream" | "lifecycle" | "guest" | "klog" | "module", _)) => {
            let runner = tools.join("runner/src");
            ['"', '/']
                .iter()
                .any(|before| in_source(&runner, &format!("{before}{last}\"")))
        }
        _ => selftests.contains(name),
    }
}

#[test]
fn each_fix_has_tests_that_exist() {
    let path = repository().join("Documentation/upstream-fixes.rst");
    let document = fs::read_to_string(path).expect("the document is there");
    let selftests = selftests();
    let rows = rows(&document);
    assert!(rows.len() > 50, "{} rows are not the tables", rows.len());
    for row in rows {
        let [what, behaviour, tests] = row.as_slice() else {
            panic!("a row has three cells: {row:?}");
        };
        assert!(!behaviour.is_empty(), "{what}: nothing is said of it");
        if tests.starts_with("None: ") {
            continue;
        }
        let names = names(tests);
        assert!(
            !names.is_empty(),
            "{what}: no test, and no reason (`None: …`)"
        );
        for name in names {
            assert!(exists(name, &selftests), "{what}: there is no test {name}");
        }
    }
}

/// What `rust/kernels/differences` can tell.
fn differences() -> BTreeSet<String> {
    let output = Command::new(repository().join("rust/kernels/differences"))
        .arg("--all")
        .output()
        .expect("the script runs");
    let text = String::from_utf8(output.stdout).expect("names are text");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn each_difference_is_documented_and_has_tests() {
    let path = repository().join("Documentation/kernels.rst");
    let document = fs::read_to_string(path).expect("the document is there");
    let selftests = selftests();
    let mut documented = BTreeSet::new();
    for row in rows(&document) {
        let Some(name) = names(&row[0]).first().copied() else {
            continue;
        };
        documented.insert(name.to_owned());
        if let [_, _, _, tests] = row.as_slice() {
            let tests = names(tests);
            assert!(!tests.is_empty(), "{name}: no test");
            for test in tests {
                assert!(exists(test, &selftests), "{name}: there is no test {test}");
            }
        }
    }
    assert_eq!(documented, differences());
    // The selftests know all that show in a test.
    let known: BTreeSet<_> = Has::ALL.iter().map(|has| has.name().to_owned()).collect();
    let shown = |name: &String| !name.starts_with("kernel_");
    assert_eq!(known, differences().into_iter().filter(shown).collect());
}

#[test]
fn what_is_no_test_does_not_exist() {
    let selftests = selftests();
    for name in [
        "",
        "timer",
        "timer/no_such_case",
        "host/pure/no_such_test",
        "host/no_such_crate/a_test",
        "upstream/rust/no_such_test",
        "klog/no_such_boot",
    ] {
        assert!(!exists(name, &selftests), "{name}");
    }
}

#[test]
fn cells_go_on_over_lines() {
    let rows = rows("   * - A\n     - B\n     - Tests\n   * - a\n       b\n     - c\n     - ``d``,\n       ``e``\n\n       f\n");
    assert_eq!(rows, [["a b", "c", "``d``, ``e``"]]);
    assert_eq!(names(&rows[0][2]), ["d", "e"]);
}
