// SPDX-License-Identifier: GPL-2.0
//! What README.md, CONTRIBUTING.rst, CHANGELOG.rst and the documents tell a reader to run or to open
//! is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Targets of the kernel's make, and of syzkaller's.
const OF_OTHERS: [&str; 3] = ["modules_prepare", "extract", "generate"];

/// What is ours in a clone.
const OURS: [&str; 5] = [
    "Documentation/",
    "include/",
    "rust/",
    "samples/",
    "tools-testing/",
];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(name: &str) -> String {
    fs::read_to_string(repository().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// All documents, by name.
fn documents() -> Vec<(String, String)> {
    let mut names: Vec<_> = fs::read_dir(repository().join("Documentation"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .map(|name| format!("Documentation/{name}"))
        .filter(|name| name.ends_with(".rst"))
        .collect();
    assert!(names.len() > 10, "{names:?} are not the documents");
    names.extend(["README.md", "CONTRIBUTING.rst", "CHANGELOG.rst"].map(str::to_owned));
    names
        .into_iter()
        .map(|name| (name.clone(), read(&name)))
        .collect()
}

/// The targets that `make help` lists.
fn targets(makefile: &str) -> BTreeSet<String> {
    let makefile = read(makefile);
    let helps = makefile.lines().filter_map(|line| line.strip_prefix("## "));
    let names = helps.filter_map(|help| Some(help.split_once(':')?.0));
    names
        .filter(|name| is_target(name))
        .map(str::to_owned)
        .collect()
}

fn is_target(word: &str) -> bool {
    let is_of_one = |c: char| c.is_ascii_lowercase() || "-_".contains(c);
    !word.is_empty() && word.chars().all(is_of_one)
}

/// The commands of a text that run make, as words: what follows a backquote, or begins an indented
/// line.
fn makes(text: &str) -> Vec<Vec<&str>> {
    let mut commands = Vec::new();
    for before in ["`make ", "`make\n", "\n    make "] {
        for (at, _) in text.match_indices(before) {
            let rest = &text[at + before.len()..];
            let end = match before.starts_with('`') {
                true => rest.find('`'),
                false => rest.find('\n'),
            };
            let command = &rest[..end.unwrap_or(rest.len())];
            let command = command.split('#').next().unwrap_or_default();
            commands.push(command.split_whitespace().collect());
        }
    }
    commands
}

/// What is between backquotes.
fn literals(text: &str) -> impl Iterator<Item = &str> {
    text.split("``").skip(1).step_by(2)
}

/// What links of Markdown lead to.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let ends = text.split("](").skip(1);
    ends.filter_map(|rest| Some(rest.split_once(')')?.0))
}

/// The anchor that a forge gives a heading.
fn anchor(heading: &str) -> String {
    let kept = heading
        .trim()
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn each_make_target_exists() {
    let ours = targets("Makefile");
    let of_tools = targets("tools-testing/Makefile");
    assert!(ours.contains("check") && of_tools.contains("tarball"));
    let mut seen = BTreeSet::new();
    for (name, text) in documents() {
        for command in makes(&text) {
            let (known, words) = match command.as_slice() {
                ["-C", "tools-testing", rest @ ..] => (&of_tools, rest),
                all => (&ours, all),
            };
            for word in words.iter().filter(|word| is_target(word)) {
                assert!(
                    known.contains(*word) || OF_OTHERS.contains(word),
                    "{name}: make {word}"
                );
                seen.insert((*word).to_owned());
            }
        }
    }
    for target in [
        "demo",
        "check",
        "htmldocs",
        "rustdoc",
        "rust-analyzer",
        "tarball",
    ] {
        assert!(seen.contains(target), "no document has make {target}");
    }
}

#[test]
fn each_link_of_the_readme_leads_somewhere() {
    let readme = read("README.md");
    let headings = readme.lines().filter_map(|line| line.strip_prefix("## "));
    let anchors: BTreeSet<_> = headings.map(anchor).collect();
    let links: Vec<_> = links(&readme).filter(|to| !to.contains("://")).collect();
    assert!(links.len() > 20, "{links:?} are not the links");
    for link in links {
        match link.strip_prefix('#') {
            Some(within) => assert!(anchors.contains(within), "no heading {link}"),
            None => assert!(repository().join(link).exists(), "no file {link}"),
        }
    }
}

#[test]
fn what_contributing_names_exists() {
    let contributing = read("CONTRIBUTING.rst");
    let ours = |name: &&str| OURS.iter().any(|directory| name.starts_with(directory));
    let files: Vec<_> = literals(&contributing)
        .filter(ours)
        .filter_map(|name| name.split_whitespace().next())
        .collect();
    assert!(files.len() > 25, "{files:?} are not the files");
    for file in files {
        assert!(repository().join(file).exists(), "no file {file}");
    }
}

#[test]
fn commands_are_found() {
    let text = "See `make one\ntwo=3`, ``make\n-C x four``:\n\n    make five SIX=7  # eight\n";
    let commands = makes(text);
    assert_eq!(commands.len(), 3);
    assert!(commands.contains(&vec!["one", "two=3"]));
    assert!(commands.contains(&vec!["-C", "x", "four"]));
    assert!(commands.contains(&vec!["five", "SIX=7"]));
    assert_eq!(anchor("For kernel developers"), "for-kernel-developers");
}
