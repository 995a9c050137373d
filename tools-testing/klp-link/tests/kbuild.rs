// SPDX-License-Identifier: GPL-2.0
//! The scripts that a build of the module goes through before it comes to klp-link, on kernels
//! made up for the purpose: what is a kernel that Rust was compared with?

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

const XEN_C: &str = "arch/x86/kvm/xen.c";
const XEN_H: &str = "arch/x86/kvm/xen.h";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a file")).expect("a directory");
    fs::write(path, text).expect("a file");
}

/// What a command printed, and whether it succeeded.
fn text(output: Output) -> (bool, String, String) {
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (
        output.status.success(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// A copy of the scripts and kernels of two releases that differ.
struct Tree(TempDir);

impl Tree {
    fn new() -> Self {
        let tree = Self(TempDir::new().expect("a directory"));
        let kbuild = repository().join("tools-testing/kbuild");
        for script in ["reviewed", "preflight", "port"] {
            let to = tree.path("tools-testing/kbuild").join(script);
            write(&to, "");
            fs::copy(kbuild.join(script), to).expect("a script");
        }
        let mut supported = String::new();
        for (release, xen_c) in [("7.2.9", "old\n"), ("7.3.4", "new\n")] {
            for (file, text) in [(XEN_C, xen_c), (XEN_H, "same\n")] {
                let path = tree.kernel(release).join(file);
                write(&path, text);
                let sum = Command::new("sha256sum").arg(path).output();
                let (_, sum, _) = text_of(sum);
                let hash = sum.split(' ').next().expect("a hash");
                supported += &format!("source {file} {hash} {release}\n");
            }
        }
        write(&tree.path("rust/kernels/supported"), &supported);
        for release in ["7.1", "7.2.12", "7.3.4", "7.10"] {
            let new = tree.path("new").join(release);
            let makefile = format!("kernelversion:\n\t@echo {release}\n");
            write(&new.join("Makefile"), &makefile);
            write(&new.join(XEN_C), "newer\n");
            write(&new.join(XEN_H), "same\n");
        }
        tree
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn kernel(&self, release: &str) -> PathBuf {
        self.path("kernels").join(release)
    }

    fn run(&self, script: &str, args: &[&Path]) -> Command {
        let mut command = Command::new(self.path("tools-testing/kbuild").join(script));
        command.args(args).env_remove("UNREVIEWED");
        command
    }

    fn reviewed(&self, kernel: &Path) -> (bool, String, String) {
        let supported = self.path("rust/kernels/supported");
        text_of(self.run("reviewed", &[kernel, &supported]).output())
    }
}

fn text_of(output: std::io::Result<Output>) -> (bool, String, String) {
    text(output.expect("it runs"))
}

#[test]
fn a_known_source_is_told_from_another() {
    let tree = Tree::new();
    let kernel = tree.kernel("7.3.4");
    assert_eq!(tree.reviewed(&kernel), (true, "".into(), "".into()));

    // Built elsewhere.
    let build = tree.path("build");
    fs::create_dir(&build).expect("a directory");
    std::os::unix::fs::symlink(&kernel, build.join("source")).expect("a link");
    assert!(tree.reviewed(&build).0);

    write(&kernel.join(XEN_H), "other\n");
    let differs = |files: &str| (false, files.to_owned(), "".to_owned());
    assert_eq!(tree.reviewed(&build), differs("arch/x86/kvm/xen.h\n"));
    fs::remove_file(kernel.join(XEN_C)).expect("it is there");
    let both = "arch/x86/kvm/xen.c\narch/x86/kvm/xen.h\n";
    assert_eq!(tree.reviewed(&build), differs(both));
}

#[test]
fn port_compares_with_the_nearest_release() {
    let tree = Tree::new();
    for (release, nearest, line) in [
        ("7.1", "7.2.9", "-old"),
        ("7.2.12", "7.2.9", "-old"),
        ("7.3.4", "7.3.4", "-new"),
        ("7.10", "7.3.4", "-new"),
    ] {
        let (sources, new) = (tree.path("kernels"), tree.path("new").join(release));
        let args = [Path::new("--sources"), &sources, &new];
        let (ok, out, err) = text_of(tree.run("port", &args).output());
        assert!(ok, "{err}");
        let head = format!("--- {nearest}/{XEN_C}\n+++ {release}/{XEN_C}\n");
        assert!(out.starts_with(&head), "{out}");
        assert!(out.contains(&format!("\n{line}\n+newer\n")), "{out}");
        assert!(!out.contains(XEN_H), "{out}");
    }
}

#[test]
fn a_build_stops_at_an_unknown_source() {
    let tree = Tree::new();
    let kernel = tree.kernel("7.3.4");
    let config = "CONFIG_RUST=y\nCONFIG_LIVEPATCH=y\nCONFIG_KVM_XEN=y\nCONFIG_RUSTC_VERSION_TEXT=\"compiler 1\"\n";
    write(&kernel.join(".config"), config);
    write(
        &kernel.join("include/config/kernel.release"),
        "7.3.4+made-up\n",
    );
    write(&kernel.join("rust/libkernel.rmeta"), "");
    let tool = tree.path("tool");
    write(&tool, "#!/bin/sh\necho compiler 1\n");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).expect("ours");
    let preflight = |unreviewed: &str| {
        let mut command = tree.run("preflight", &[&kernel, &tree.path("objects")]);
        for name in ["RUSTC", "BINDGEN", "CARGO"] {
            command.env(name, &tool);
        }
        text_of(command.env("UNREVIEWED", unreviewed).output())
    };
    assert_eq!(preflight(""), (true, "".into(), "".into()));

    write(&kernel.join(XEN_C), "newer\n");
    let (ok, out, err) = preflight("");
    assert!(!ok && out.is_empty(), "{out}");
    assert_eq!(err.lines().count(), 1, "{err}");
    for part in ["7.3.4+made-up", XEN_C, "UNREVIEWED=1", "make check"] {
        assert!(err.contains(part), "{part}: {err}");
    }
    assert!(!err.contains(XEN_H), "{err}");

    let (ok, out, err) = preflight("1");
    assert!(ok && err.is_empty(), "{err}");
    assert!(out.starts_with("note: ") && out.contains(XEN_C), "{out}");
}
