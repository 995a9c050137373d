// SPDX-License-Identifier: GPL-2.0
//! The command: files, messages, exit codes.

use std::fs;
use std::os::unix::fs::{symlink, MetadataExt, PermissionsExt};
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
fn to_another_file() {
    let bytes = sample().build();
    let (dir, path) = module(&bytes);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let out = dir.path().join("out.ko");
    fs::write(&out, "old").unwrap();
    stdout(&klp_link(&[&path, Path::new("-o"), &out]));
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert_eq!(fs::read(&out).unwrap(), link(&bytes));
    assert_eq!(
        fs::metadata(&out).unwrap().permissions().mode() & 0o7777,
        0o600
    );

    // With nothing to do, OUT is there all the same.
    let copy = dir.path().join("copy.ko");
    let text = stdout(&klp_link(&[&out, Path::new("-o"), &copy]));
    assert!(text.ends_with(": nothing to do\n"), "{text}");
    assert_eq!(fs::read(&copy).unwrap(), link(&bytes));
}

#[test]
fn names_without_a_directory_and_links() {
    let bytes = sample().build();
    let (dir, path) = module(&bytes);
    let linked = dir.path().join("link.ko");
    symlink("module.ko", &linked).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_klp-link"));
    let output = command.current_dir(&dir).arg("link.ko").output().unwrap();
    stdout(&output);
    assert!(fs::symlink_metadata(&linked).unwrap().is_symlink());
    assert_eq!(fs::read(&path).unwrap(), link(&bytes));

    let mut command = Command::new(env!("CARGO_BIN_EXE_klp-link"));
    let output = command
        .current_dir(&dir)
        .args(["module.ko", "-o", "new.ko"]);
    stdout(&output.output().unwrap());
    assert_eq!(fs::read(dir.path().join("new.ko")).unwrap(), link(&bytes));
}

#[test]
fn lists() {
    let mut ko = Ko::new();
    ko.call(".text", 1, ".klp.sym.kvm.vm_list,0")
        .call(".text", 9, ".klp.sym.kvm.vm_list,0")
        .call(".text", 17, ".klp.sym.vmlinux.lookup,12");
    let bytes = ko.build();
    let (_dir, path) = module(&bytes);
    let expected = "\
OBJECT   SYMBOL     SECTION  COUNT
kvm      vm_list    .text        2
vmlinux  lookup,12  .text        1
";
    let list = || stdout(&klp_link(&[Path::new("--list"), &path]));
    assert_eq!(
        list(),
        format!("{expected}3 livepatch relocations to 2 symbols to make\n")
    );
    assert_eq!(fs::read(&path).unwrap(), bytes, "a list writes nothing");
    stdout(&klp_link(&[&path]));
    assert_eq!(
        list(),
        format!("{expected}3 livepatch relocations to 2 symbols made\n")
    );

    let (_dir, path) = module(&Ko::bare().build());
    let text = stdout(&klp_link(&[Path::new("--list"), &path]));
    assert_eq!(text, "no livepatch symbols\n");
}

#[test]
fn errors_are_lines_and_change_nothing() {
    let mut ko = Ko::bare();
    ko.call(".text", 1, ".klp.sym.kvm.f,0")
        .call(".text", 9, ".klp.sym.kvm.f");
    let bytes = ko.build();
    let (dir, path) = module(&bytes);
    for option in [None, Some("--list"), Some("--output=out.ko")] {
        let mut args = vec![path.as_path()];
        args.extend(option.map(Path::new));
        let text = stderr(&klp_link(&args));
        let head = format!("klp-link: {}: ", path.display());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines.iter().all(|line| line.starts_with(&head)), "{text}");
        assert!(
            lines[0].contains(".klp.sym.kvm.f: malformed name"),
            "{text}"
        );
        assert!(lines[1].contains("add livepatch=Y"), "{text}");
    }
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
}

#[test]
fn files_that_are_not_there() {
    let (dir, path) = module(&sample().build());
    let missing = dir.path().join("missing.ko");
    let text = stderr(&klp_link(&[&missing]));
    assert!(text.contains("missing.ko: No such file"), "{text}");
    let nowhere = dir.path().join("nowhere/out.ko");
    let text = stderr(&klp_link(&[&path, Path::new("-o"), &nowhere]));
    assert!(text.contains("nowhere/out.ko: No such file"), "{text}");
    let text = stderr(&klp_link(&[dir.path()]));
    assert!(text.contains("Is a directory"), "{text}");
}

#[test]
fn wrong_arguments() {
    for args in [
        &[][..],
        &["a.ko", "--list", "-o", "b.ko"],
        &["a.ko", "b.ko"],
    ] {
        let args: Vec<&Path> = args.iter().map(Path::new).collect();
        assert_eq!(klp_link(&args).status.code(), Some(2), "{args:?}");
    }
}
