// SPDX-License-Identifier: GPL-2.0
//! The C patches of samples/upstream name bugs and reproducers that there are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What a line of each patch says that begins with `field`, by the name of the patch.
fn lines(field: &str) -> BTreeMap<String, String> {
    let entries = fs::read_dir(repository().join("samples/upstream")).expect("there are patches");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let patches = paths.map(|path| {
        let text = fs::read_to_string(&path).expect("it is text");
        let value = text.lines().find_map(|line| line.strip_prefix(field));
        let value = value.unwrap_or_else(|| panic!("{}: no {field}", path.display()));
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        (name.into_owned(), value.trim().to_owned())
    });
    patches.collect()
}

/// The names that `kvm-xen-repro` knows.
fn reproducers() -> BTreeSet<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_kvm-xen-repro"))
        .arg("--list")
        .output()
        .expect("it runs");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("names are text");
    let names = text.lines().filter_map(|line| line.split_once(": "));
    names.map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn each_patch_names_reproducers_that_exist_and_each_of_them_has_a_patch() {
    let known = reproducers();
    let mut used = BTreeSet::new();
    for (patch, names) in lines("Reproducer: ") {
        if names.starts_with("none, ") {
            continue;
        }
        for name in names.split_whitespace() {
            assert!(known.contains(name), "{patch}: kvm-xen-repro has no {name}");
            used.insert(name.to_owned());
        }
    }
    assert_eq!(used, known);
}

#[test]
fn each_patch_names_a_heading_of_c_bugs() {
    let document = repository().join("Documentation/c-bugs.rst");
    let document = fs::read_to_string(document).expect("it is there");
    for (patch, bug) in lines("Bug: ") {
        let heading = format!("\n{bug}\n{}\n", "=".repeat(bug.len()));
        let is_there = bug == "none" || document.contains(&heading);
        assert!(is_there, "{patch}: c-bugs.rst has no heading \"{bug}\"");
    }
}

#[test]
fn what_the_document_asks_of_patches_is_of_patches_that_exist() {
    let document = repository().join("Documentation/upstream.rst");
    let document = fs::read_to_string(document).expect("it is there");
    let (_, asked) = document
        .split_once("What a maintainer may ask\n")
        .expect("a heading");
    let (asked, _) = asked.split_once(".. What follows").expect("a table");
    let patches = lines("Subject: ");
    for line in asked.lines().filter(|line| line.starts_with("``")) {
        for name in line.split("``").skip(1).step_by(2) {
            assert!(patches.contains_key(name), "there is no patch {name}");
        }
    }
}
