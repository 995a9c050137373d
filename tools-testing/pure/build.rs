// SPDX-License-Identifier: GPL-2.0

//! Makes tests of the examples in the module's files that this crate has.

#[path = "src/examples.rs"]
mod examples;

use std::{env, fs, path::Path};

/// The files, in `rust/`.
const FILES: [&str; 5] = [
    "livepatch/notes.rs",
    "sync/context.rs",
    "sync/order.rs",
    "sync/verify.rs",
    "sync/weaken.rs",
];

fn main() {
    let rust =
        Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../../rust");
    let mut tests = String::new();
    for file in FILES {
        let path = rust.join(file);
        println!("cargo::rerun-if-changed={}", path.display());
        let text = fs::read_to_string(&path).expect("the file is there");
        let name = file.trim_end_matches(".rs").replace('/', "_");
        let found = examples::examples(&text, "#[test]");
        tests += &format!("mod {name} {{\n{found}}}\n");
    }
    let out = Path::new(&env::var("OUT_DIR").expect("cargo sets it")).join("examples.rs");
    fs::write(out, tests).expect("cargo has made the directory");
}
