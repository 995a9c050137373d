// SPDX-License-Identifier: GPL-2.0
//! What `make rust-analyzer` adds to the kernel's rust-project.json, on one that is made up.

use serde_json::{json, Value};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// What the script prints for a directory of objects with these files.
fn run(project: &Value, cfgs: &str) -> Output {
    let objects = tempfile::tempdir().unwrap();
    fs::write(
        objects.path().join("rust-project.json"),
        project.to_string(),
    )
    .unwrap();
    fs::write(objects.path().join("cfgs"), cfgs).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kbuild/rust-project");
    let mut command = Command::new(script);
    command.arg(objects.path()).output().unwrap()
}

#[test]
fn the_modules_crate_is_added() {
    let project = json!({
        "sysroot": "/usr",
        "crates": [
            {"display_name": "std", "cfg": []},
            {"display_name": "core", "cfg": []},
            {"display_name": "kernel", "cfg": ["CONFIG_RUST"]},
        ],
    });
    let output = run(&project, "xen_one\nxen_two\n");
    assert!(output.status.success());
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(made["sysroot"], "/usr");
    let [std, core, kernel, ours] = made["crates"].as_array().unwrap().as_slice() else {
        panic!("{made}");
    };
    assert_eq!(
        [std, core, kernel],
        [0, 1, 2].map(|n| &project["crates"][n])
    );
    assert_eq!(ours["display_name"], "kvm_xen_rs");
    let root = ours["root_module"].as_str().unwrap();
    assert!(root.ends_with("/rust/kvm_xen_rs.rs") && Path::new(root).exists());
    assert_eq!(
        ours["cfg"],
        json!(["CONFIG_RUST", "MODULE", "xen_one", "xen_two"])
    );
    let deps = json!([{"crate": 1, "name": "core"}, {"crate": 2, "name": "kernel"}]);
    assert_eq!(ours["deps"], deps);
    let bindings = ours["env"]["KVM_XEN_RS_BINDINGS"].as_str().unwrap();
    assert!(bindings.ends_with("/rust/bindings/bindings_generated.rs"));
}

#[test]
fn a_project_without_the_kernel_crate_is_refused() {
    let output = run(&json!({"crates": []}), "\n");
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("has no crate 'kernel'"), "{text}");
}
