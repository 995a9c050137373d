// SPDX-License-Identifier: GPL-2.0
//! The command: files, messages, exit codes.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use object::elf;
use tempfile::TempDir;

use crate::ko::{link, sample, Ko, View, DATA};

fn klp_link(args: &[&Path]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_klp-link"));
    command.args(args).output().unwrap()
}

/// A directory with a module in it.
fn module(bytes: &[u8]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("module.ko");
    fs::write(&path, bytes).unwrap();
    (dir, path)
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_build_id_is_put_into_its_section() {
    let with = |id: &str, path: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_klp-link"));
        command.args(["--build-id", id]).arg(path);
        command.output().unwrap()
    };
    let mut ko = sample();
    ko.section(".kvm_build_id", elf::SHT_PROGBITS, DATA, &[0; 1 + 4]);
    let (_dir, path) = module(&ko.build());
    let seen = || {
        let data = fs::read(&path).unwrap();
        let view = View::new(&data);
        let (_, section) = view.section(".kvm_build_id");
        view.contents(section).to_vec()
    };
    for (id, expected) in [
        ("0a0B0c", [3, 10, 11, 12, 0]),
        ("01020304", [4, 1, 2, 3, 4]),
        ("", [0; 5]),
    ] {
        stdout(&with(id, &path));
        assert_eq!(seen(), expected);
        // What is there already is left alone.
        let before = fs::metadata(&path).unwrap().ino();
        stdout(&with(id, &path));
        assert_eq!(fs::metadata(&path).unwrap().ino(), before);
    }
    for bad in ["1", "xx", "0102030405"] {
        stderr(&with(bad, &path));
        assert_eq!(seen(), [0; 5]);
    }
    let (_dir, path) = module(&sample().build());
    assert!(stderr(&with("01", &path)).contains(".kvm_build_id"));
}

#[test]
fn in_place_and_again() {
    let bytes = sample().build();
    let (dir, path) = module(&bytes);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let text = stdout(&klp_link(&[&path]));
    let path_text = path.display();
    let expected = format!("{path_text}: 7 livepatch relocations to 5 symbols made\n");
    assert_eq!(text, expected);
    assert_eq!(fs::read(&path).unwrap(), link(&bytes));
    let first = fs::metadata(&path).unwrap();
    assert_eq!(first.permissions().mode() & 0o7777, 0o640);

    let text = stdout(&klp_link(&[&path]));
    assert_eq!(text, format!("{path_text}: nothing to do\n"));
    assert_eq!(fs::read(&path).unwrap(), link(&bytes));
    // The very same file, so that make sees nothing new.
    let second = fs::metadata(&path).unwrap();
    assert_eq!(second.ino(), first.ino());
    assert_eq!(second.modified().unwrap(), first.modified().unwrap());
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "left-over files");
}

#[test]
fn errors_are_lines_and_change_nothing() {
    let mut ko = Ko::bare();
    ko.call(".text", 1, ".klp.sym.kvm.f,0")
        .call(".text", 9, ".klp.sym.kvm.f");
    let bytes = ko.build();
    let (dir, path) = module(&bytes);
    let text = stderr(&klp_link(&[&path]));
    let head = format!("klp-link: {}: ", path.display());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines.iter().all(|line| line.starts_with(&head)), "{text}");
    assert!(
        lines[0].contains(".klp.sym.kvm.f: malformed name"),
        "{text}"
    );
    assert!(lines[1].contains("add livepatch=Y"), "{text}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
}

#[test]
fn files_that_are_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing.ko");
    let text = stderr(&klp_link(&[&missing]));
    assert!(text.contains("missing.ko: No such file"), "{text}");
    let text = stderr(&klp_link(&[dir.path()]));
    assert!(text.contains("Is a directory"), "{text}");
}
