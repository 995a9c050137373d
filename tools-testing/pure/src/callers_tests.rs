// SPDX-License-Identifier: GPL-2.0

//! The contexts that KVM calls the module in, against the functions that the module replaces.

use crate::{
    model::{contexts, Context},
    sync::callers::CALLERS,
};
use std::{collections::BTreeSet, fs, path::Path};

/// Those that do nothing that depends on the context.
const ANY_CONTEXT: [&str; 2] = ["kvm_xen_inject_vcpu_vector", "kvm_xen_setup_evtchn"];

fn source(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../rust")
        .join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The functions in the module's table: what stands behind `entry::` there.
fn replaced() -> BTreeSet<String> {
    let table = source("kvm_xen_rs.rs");
    let entries = table.split("entry::").skip(1);
    let names = entries.filter_map(|rest| Some(rest.split_once(", as ")?.0.to_owned()));
    names.collect()
}

#[test]
fn every_function_replaced_has_its_context() {
    let called: BTreeSet<_> = CALLERS
        .iter()
        .flat_map(|caller| caller.functions)
        .chain(&ANY_CONTEXT)
        .map(|name| name.to_string())
        .collect();
    let replaced = replaced();
    assert_eq!(replaced.len(), 23);
    assert_eq!(replaced, called);
}

#[test]
fn every_function_has_one_context_but_those_that_ask() {
    let mut seen = BTreeSet::new();
    let mut twice = BTreeSet::new();
    for name in CALLERS
        .iter()
        .flat_map(|caller| caller.functions)
        .chain(&ANY_CONTEXT)
    {
        if !seen.insert(name) {
            twice.insert(*name);
        }
    }
    // The state that it is told says which.
    assert_eq!(twice, BTreeSet::from(["kvm_xen_update_runstate"]));
}

#[test]
fn every_context_of_a_caller_is_in_order() {
    let possible: BTreeSet<_> = contexts().iter().map(Context::set).collect();
    for caller in CALLERS {
        assert!(possible.contains(&caller.levels), "{}", caller.context);
        assert!(!caller.doc.is_empty());
    }
}
