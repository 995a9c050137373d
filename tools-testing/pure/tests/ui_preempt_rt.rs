// SPDX-License-Identifier: GPL-2.0

//! As `ui.rs`, of a kernel with `CONFIG_PREEMPT_RT`: what may not be done there alone.
//!
//! Without trybuild, which can't be told of a `cfg`. These files depend on no crate.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What the compiler says to a file; nothing if it compiles.
fn refusal(file: &Path, flags: &[&str]) -> Option<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--edition=2021", "--emit=metadata", "-Awarnings"])
        .args(flags)
        .arg(format!("--out-dir={}", env!("CARGO_TARGET_TMPDIR")))
        .arg(file)
        .output()
        .expect("there is a compiler");
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

fn files(directory: &str) -> Vec<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let entries = fs::read_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let files = entries.map(|entry| entry.expect("is read").path());
    let files: Vec<_> = files
        .filter(|file| file.extension().is_some_and(|extension| extension == "rs"))
        .collect();
    assert!(!files.is_empty(), "{directory}");
    files
}

const RT: &[&str] = &["--cfg=CONFIG_PREEMPT_RT"];

#[test]
fn what_releases_a_lock_does_not_compile_under_preempt_rt() {
    for file in files("tests/ui/preempt_rt") {
        let said = refusal(&file, RT).unwrap_or_else(|| panic!("{} compiles", file.display()));
        let errors = said.matches("error[").count();
        let why = "may not try a lock of KVM's";
        assert!(
            errors == 1 && said.contains("error[E0277]") && said.contains(why),
            "{said}"
        );
        // Only there.
        assert_eq!(refusal(&file, &[]), None);
    }
}

#[test]
fn what_may_release_a_lock_compiles() {
    for file in files("tests/ui/preempt_rt/pass") {
        assert_eq!(refusal(&file, RT), None);
        assert_eq!(refusal(&file, &[]), None);
    }
}
