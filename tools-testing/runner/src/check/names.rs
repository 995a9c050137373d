// SPDX-License-Identifier: GPL-2.0
//! Names of the tests of the module's file and of its source.

/// Facts of the module file, and what each must be.
pub const MODINFO: [(&str, Option<&str>); 5] = [
    ("name", Some("kvm_xen_rs")),
    ("description", None),
    ("license", Some("GPL")),
    ("version", None),
    ("livepatch", Some("Y")),
];

/// Checks of the workspace's source and of the documents.
pub const LINT: [&str; 3] = ["fmt", "clippy", HTMLDOCS];

/// Whether Sphinx reads the documents without a warning.
pub const HTMLDOCS: &str = "docs/htmldocs";

/// Checks of the module file.
pub const OF_FILE: [&str; 4] = ["no-panic", "no-tail-calls", "atomic-bits", "built-once"];

/// Checks of the module's source.
pub const OF_SOURCE: [&str; 5] = ["rustfmt", "clippy", TYPES[0], TYPES[1], TYPES[2]];

/// What its types refuse, allow, and refuse for a kernel with `PREEMPT_RT`.
pub const TYPES: [&str; 3] = ["types/refused", "types/allowed", "types/preempt-rt"];
