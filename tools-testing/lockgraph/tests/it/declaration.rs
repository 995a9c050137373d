// SPDX-License-Identifier: GPL-2.0

//! The reasons, the exceptions and the rules, against the declaration and the tests.

use lockgraph::{
    besides::BESIDES,
    declared::{ordered, row, Edge},
    reasons::REASONS,
    rules::RULES,
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
