// SPDX-License-Identifier: GPL-2.0

//! The program.

use crate::{compare::lockdep, doc::empty};
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

fn lockgraph(args: &[&dyn AsRef<std::ffi::OsStr>]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lockgraph"))
        .args(args)
        .output()
        .unwrap()
}

fn doc(mode: &str, directory: &Path) -> Output {
    lockgraph(&[&"doc", &mode, &"--documentation", &directory])
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_stale_document_is_told_and_written() {
    let directory = tempfile::tempdir().unwrap();
    let (rst, svg) = (
        directory.path().join("locking.rst"),
        directory.path().join("lock-order.svg"),
    );
    fs::write(&rst, empty()).unwrap();

    let output = doc("--check", directory.path());
    assert!(!output.status.success());
    assert!(
        stderr(&output).contains("is stale: run `lockgraph doc --write`"),
        "{}",
        stderr(&output)
    );

    assert!(doc("--write", directory.path()).status.success());
    // The picture is there neither.
    assert!(stderr(&doc("--check", directory.path())).contains("can't read"));
    assert!(lockgraph(&[&"draw", &"--svg", &svg]).status.success());
    let output = doc("--check", directory.path());
    assert!(output.status.success(), "{}", stderr(&output));

    let stale = fs::read_to_string(&svg).unwrap().replace("vcpu", "cpu");
    fs::write(&svg, stale).unwrap();
    let output = doc("--check", directory.path());
    assert!(
        stderr(&output).contains("lock-order.svg is stale"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn the_documentation_is_current() {
    let output = lockgraph(&[&"doc", &"--check"]);
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn an_undeclared_edge_fails() {
    let directory = tempfile::tempdir().unwrap();
    let (seen, svg) = (
        directory.path().join("lockdep"),
        directory.path().join("order.svg"),
    );
    let draw = |edges| {
        fs::write(&seen, lockdep(edges)).unwrap();
        lockgraph(&[&"draw", &"--lockdep", &seen, &"--svg", &svg])
    };

    let output = draw(&[("&kvm->lock", "&vcpu->mutex")]);
    assert!(output.status.success(), "{}", stderr(&output));
    let output = draw(&[("&kvm->srcu", "&kvm->lock")]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        draw(&[("&kvm->srcu", "&kvm->new_lock")]).status.code(),
        Some(1)
    );
    let output = draw(&[("&kvm->srcu", "&kvm->lock")]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        stdout.contains("UNDECLARED  kvm->srcu (read) > kvm->lock"),
        "{stdout}"
    );
    assert!(fs::read_to_string(&svg)
        .unwrap()
        .contains("class=\"undeclared\""));
}

#[test]
fn what_is_wrong_is_told_in_a_line() {
    let directory = tempfile::tempdir().unwrap();
    let seen = directory.path().join("lockdep");
    fs::write(&seen, "nothing").unwrap();
    let output = lockgraph(&[&"draw", &"--lockdep", &seen]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(
        text.starts_with("lockgraph: ") && text.lines().count() == 1,
        "{text}"
    );
}
