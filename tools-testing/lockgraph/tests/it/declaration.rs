// SPDX-License-Identifier: GPL-2.0

//! The reasons, the exceptions and the rules, against the declaration and the tests.

use lockgraph::{
    besides::BESIDES,
    declared::{classed, ordered, row, Edge},
    neighbours::NEIGHBOURS,
    reasons::REASONS,
    rules::RULES,
    trusted::TRUSTED,
};
use std::{collections::BTreeSet, fs, path::Path};

/// Nothing is declared for which there is no reason, and nothing has one that is not declared.
#[test]
fn the_order_is_what_follows_from_the_reasons() {
    let mut follows: BTreeSet<Edge> = REASONS.iter().map(|reason| reason.edge).collect();
    assert_eq!(follows.len(), REASONS.len(), "an edge has two reasons");
    loop {
        let longer: BTreeSet<_> = follows
            .iter()
            .flat_map(|a| follows.iter().map(move |b| (a, b)))
            .filter(|(a, b)| a.inner == b.outer)
            .map(|(a, b)| Edge::new(a.outer, b.inner))
            .collect();
        let before = follows.len();
        follows.extend(longer);
        if follows.len() == before {
            break;
        }
    }
    let declared: BTreeSet<_> = ordered()
        .flat_map(|row| row.inner.iter().map(|inner| Edge::new(row.level, inner)))
        .collect();
    assert_eq!(follows, declared);
}

/// So that no exception can be part of a deadlock.
#[test]
fn what_c_has_besides_enters_sections_alone() {
    for besides in BESIDES {
        assert_eq!(row(besides.edge.inner).entry, "AtOnce", "{}", besides.edge);
        assert!(!besides.edge.is_declared(), "{}", besides.edge);
    }
}

/// So that leaving them out of the order leaves no order out.
#[test]
fn what_follows_by_way_of_a_neighbour_is_declared() {
    for neighbour in NEIGHBOURS {
        let class = neighbour.class;
        assert!(
            !classed().any(|row| row.lockdep.contains(&class)),
            "{class}"
        );
        assert!(!neighbour.inside.is_empty() || !neighbour.around.is_empty());
        for inside in neighbour.inside {
            for around in neighbour.around {
                let edge = Edge::new(row(inside).level, row(around).level);
                let in_c = BESIDES.iter().any(|besides| besides.edge == edge);
                assert!(edge.is_declared() || in_c, "{class}: {edge}");
            }
        }
    }
    let unique: BTreeSet<_> = NEIGHBOURS.iter().map(|neighbour| neighbour.class).collect();
    assert_eq!(unique.len(), NEIGHBOURS.len());
}

#[test]
fn lockdep_classes_are_told_apart() {
    // The two locks of a pfn cache alone share one.
    let names: Vec<_> = ordered().flat_map(|row| row.lockdep).collect();
    let unique: BTreeSet<_> = names.iter().collect();
    assert_eq!(names.len() - unique.len(), 1, "{names:?}");
}

/// The functions of a file in `tools-testing/types` that are cases.
fn cases(file: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../types")
        .join(file);
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let functions = text.lines().filter_map(|line| line.strip_prefix("fn "));
    let names = functions.map(|line| line.split(['(', '<']).next().unwrap_or(line).to_owned());
    // What a level is entered by that the module never enters.
    names.filter(|name| name != "enter").collect()
}

#[test]
fn each_case_proves_one_rule() {
    type Names = fn(&lockgraph::rules::Rule) -> &'static [&'static str];
    const REFUSED: [&str; 4] = [
        "refused/evidence.rs",
        "refused/order.rs",
        "refused/ownership.rs",
        "tries.rs",
    ];
    let sides: [(&[&str], Names); 2] = [
        (&REFUSED, |rule| rule.refused),
        (&["allowed.rs"], |rule| rule.allowed),
    ];
    for (files, names) in sides {
        let named: Vec<_> = RULES
            .iter()
            .flat_map(names)
            .map(|name| name.to_string())
            .collect();
        let unique: BTreeSet<_> = named.iter().cloned().collect();
        assert_eq!(named.len(), unique.len(), "a case is named twice");
        let written: BTreeSet<_> = files.iter().flat_map(|file| cases(file)).collect();
        assert_eq!(unique, written);
    }
    for rule in RULES {
        assert!(!rule.refused.is_empty(), "{}", rule.rule);
    }
}

/// The C functions that a file of the module calls.
fn called(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for module in ["bindings::", "symbols::"] {
        for after in text.split(module).skip(1) {
            let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let (name, rest) = after.split_at(end.unwrap_or(after.len()));
            // Helpers are handed over, too.
            if rest.starts_with('(') || rest.starts_with(')') && name.starts_with("kvm_xen_rs_") {
                names.insert(name.to_owned());
            }
        }
    }
    // Tracepoints, of whose names a macro makes those of functions.
    for after in text.split("\ntracepoints! {").skip(1) {
        let lines = after.lines().take_while(|line| *line != "}");
        let points = lines.filter_map(|line| line.trim().strip_prefix("fn ")?.split_once('('));
        names.extend(points.map(|(name, _)| format!("rust_do_trace_kvm_xen_{name}")));
    }
    if text.contains("use bindings::{__srcu_read_lock") {
        names.extend(["__srcu_read_lock", "__srcu_read_unlock"].map(str::to_owned));
        names.extend(
            ["kvm_xen_rs_srcu_read_lock", "kvm_xen_rs_srcu_read_unlock"].map(str::to_owned),
        );
    }
    names
}

fn sources(directory: &Path, root: &Path, to: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, root, to);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).unwrap().display().to_string();
            to.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn each_c_function_that_is_called_is_told() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rust");
    let mut files = Vec::new();
    sources(&root, &root, &mut files);
    let (mut calls, mut told) = (BTreeSet::new(), BTreeSet::new());
    for (file, text) in &files {
        calls.extend(called(text).into_iter().map(|name| (file.clone(), name)));
    }
    for trusted in TRUSTED {
        let text = files.iter().find(|(file, _)| file == trusted.file);
        let (_, text) = text.unwrap_or_else(|| panic!("{}", trusted.file));
        for words in trusted.by {
            assert!(text.contains(words), "{}: {words}", trusted.file);
        }
        for function in trusted.functions {
            let is_new = told.insert((trusted.file.to_owned(), (*function).to_owned()));
            assert!(is_new, "{function} is told twice");
        }
    }
    let differ: Vec<_> = calls.symmetric_difference(&told).collect();
    assert!(
        differ.is_empty(),
        "called or told, and not both: {differ:?}"
    );
}
