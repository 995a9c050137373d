// SPDX-License-Identifier: GPL-2.0

//! Documentation/threads.rst: the files and the tests that it names exist.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// What C has, in the columns "Here".
const OF_C: [&str; 9] = [
    "kvm->lock",
    "kvm->srcu",
    "vcpu->mutex",
    "kvm_lock",
    "refresh_lock",
    "slots_arch_lock",
    "xen_lock",
    "process_mrelease(2)",
    "kvm_vcpu_ioctl()",
];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn document() -> String {
    fs::read_to_string(repository().join("Documentation/threads.rst")).unwrap()
}

/// What is between double backquotes.
fn literals(text: &str) -> impl Iterator<Item = &str> {
    text.split("``").skip(1).step_by(2)
}

/// The third cell of each row, but for the head's.
fn here(document: &str) -> Vec<String> {
    let mut cells: Vec<String> = Vec::new();
    let mut column = 0;
    for line in document.lines() {
        if line.starts_with("   * - ") {
            column = 1;
        } else if line.starts_with("     - ") {
            column += 1;
            cells.extend((column == 3).then(String::new));
        } else if !line.starts_with("      ") && !line.is_empty() {
            column = 0;
        }
        if let (3, Some(cell)) = (column, cells.last_mut()) {
            *cell += line.trim_start().trim_start_matches("- ");
            *cell += " ";
        }
    }
    cells.retain(|cell| cell.trim() != "Here");
    cells
}

/// The text of all files of Rust below a directory, but for this one, which names what is not there.
fn sources(directory: &Path, text: &mut String) {
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !path.ends_with("it/threads.rs")
        {
            *text += &fs::read_to_string(&path).unwrap();
        }
    }
}

/// Whether a file of this name is here.
fn is_file(name: &str) -> bool {
    let ours = ["rust/", "samples/", "tools-testing/", "Documentation/"];
    ours.iter().any(|directory| name.starts_with(directory)) && repository().join(name).exists()
}

/// Whether a function, a type, or something with a name in quotes is in the source.
fn is_in(source: &str, name: &str) -> bool {
    let last = name.rsplit(['/', ':']).next().unwrap_or(name);
    let last = last.split(['<', '(']).next().unwrap_or(last);
    let after = |before: &str| {
        let mut found = source.match_indices(before);
        found.any(|(at, _)| {
            let rest = &source[at + before.len()..];
            rest.strip_prefix(last)
                .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
        })
    };
    // A level of the order, or a context.
    let is_declared = source.contains(&format!("\n    {last} = "));
    let before = ["fn ", "struct ", "trait ", "type ", "\"", "/"];
    !last.is_empty() && (is_declared || before.iter().any(|before| after(before)))
}

fn source() -> String {
    let mut text = String::new();
    for directory in ["rust", "samples", "tools-testing"] {
        let directory = repository().join(directory);
        for entry in fs::read_dir(directory).unwrap().flatten() {
            if entry.path().is_dir() {
                sources(&entry.path(), &mut text);
            }
        }
    }
    text
}

#[test]
fn what_is_named_exists() {
    let (document, source) = (document(), source());
    let cells = here(&document);
    assert!(cells.len() > 25, "{} rows are not the tables", cells.len());
    for name in cells.iter().flat_map(|cell| literals(cell)) {
        assert!(
            OF_C.contains(&name) || is_file(name) || is_in(&source, name),
            "there is no {name}"
        );
    }
    // What looks like a file or a test is one, wherever it stands.
    for name in literals(&document).filter(|name| name.contains('/')) {
        let is_device = name.starts_with("/dev/");
        let is_this = name == "host/lockgraph/threads::what_is_named_exists";
        assert!(
            is_device || is_this || is_file(name) || is_in(&source, name),
            "there is no {name}"
        );
    }
}

#[test]
fn what_does_not_exist_is_found() {
    let source = source();
    for name in [
        "rust/none.rs",
        "samples/no_such",
        "timer/no_such",
        "no_such",
        "NoSuch<Type>",
        "",
    ] {
        assert!(!is_file(name) && !is_in(&source, name), "{name}");
    }
    let table = "   * - Said\n     - Became\n     - Here\n   * - a ``x``\n     - b\n     - c ``y``,\n       ``z``\n\nAfter ``w``.\n";
    let cells = here(table);
    assert_eq!(cells.len(), 1);
    assert_eq!(literals(&cells[0]).collect::<Vec<_>>(), ["y", "z"]);
}

/// The labels of locking.rst are those of the headings.
#[test]
fn each_thread_has_a_section() {
    let document = document();
    for label in ["T1", "T2", "T3", "T4"] {
        let headings = document.lines().filter(|line| line.starts_with(label));
        assert_eq!(headings.count(), 1, "{label}");
    }
}
