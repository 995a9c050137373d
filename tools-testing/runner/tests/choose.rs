// SPDX-License-Identifier: GPL-2.0
//! Which kernel of an archive is taken, on lists of packages that are made up: whatever appears
//! there, or goes, there is something to run.

use std::io::Write;
use std::process::{Command, Stdio};
use tempfile::NamedTempFile;

/// Two series; of one release a source was left out.
const SUPPORTED: &str = "\
# a comment
series 7.2
series 7.3
source a/xen.c 11aa 7.2.6 7.2.12
source a/pfncache.c 22bb 7.2.6 7.2.12 7.3.4
source a/xen.c 33cc 7.3.2
source a/pfncache.c 44dd 7.3.2
";

/// What `choose` prints, without what tells groups apart.
fn choose(packages: &[String], wants: &[&str]) -> Vec<String> {
    let mut supported = NamedTempFile::new().unwrap();
    supported.write_all(SUPPORTED.as_bytes()).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../buildroot/choose");
    let mut child = Command::new("bash")
        .arg(script)
        .arg(supported.path())
        .args(wants)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let list = packages.join("\n") + "\n";
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(list.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "choose failed");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with("group "));
    lines.map(str::to_owned).collect()
}

/// The packages of one release, of these flavours ("" for none).
fn release(upstream: &str, flavours: &[&str]) -> Vec<String> {
    let version = format!("{upstream}-1~bpo13+1");
    let series: Vec<_> = upstream.split('.').take(2).collect();
    let mut packages = vec![
        format!("linux-source-{} {version}", series.join(".")),
        format!("linux-source {version}"),
        format!("linux-image-amd64 {version}"),
    ];
    for flavour in flavours {
        for kind in ["image", "headers"] {
            let name = format!("linux-{kind}-{upstream}+deb13{flavour}-amd64");
            packages.push(format!("{name} {version}"));
            packages.push(format!("{name}-dbg {version}"));
        }
    }
    packages
}

const FLAVOURS: [&str; 3] = ["", "-cloud", "-rt"];

fn archive(releases: &[&str]) -> Vec<String> {
    let all = releases
        .iter()
        .flat_map(|upstream| release(upstream, &FLAVOURS));
    all.collect()
}

fn kernel(name: &str, upstream: &str, flavour: &str) -> String {
    format!("kernel {name} {upstream}-1~bpo13+1 {upstream}+deb13{flavour}-amd64")
}

#[test]
fn the_newest_that_was_compared() {
    let packages = archive(&["7.2.6", "7.2.12", "7.3.2", "7.3.4", "7.3.9"]);
    // Of 7.3.4 only one file was compared, of 7.3.9 none.
    assert_eq!(
        choose(&packages, &["default"]),
        [kernel("default", "7.3.2", "")]
    );
}

#[test]
fn twelve_is_more_than_six() {
    let packages = archive(&["7.2.6", "7.2.12"]);
    assert_eq!(choose(&packages, &["7.2"]), [kernel("7.2", "7.2.12", "")]);
}

#[test]
fn a_newer_series_is_told_and_not_taken() {
    let packages = archive(&["7.2.12", "7.4.1", "10.0.3"]);
    let lines = choose(&packages, &["default"]);
    assert_eq!(lines[0], kernel("default", "7.2.12", ""));
    assert!(
        lines[1].contains("10.0") && lines[1].contains("KERNEL=10.0"),
        "{lines:?}"
    );
    assert_eq!(lines.len(), 2);
    // Asked for, it is taken, and nothing else is said to be there.
    let lines = choose(&packages, &["newest"]);
    assert_eq!(lines[0], kernel("newest", "10.0.3", ""));
    assert!(lines[1].contains("not supported yet"), "{lines:?}");
    assert_eq!(lines.len(), 2);
}

#[test]
fn where_those_compared_are_gone_the_series_is_taken_unreviewed() {
    let packages = archive(&["7.2.99", "7.3.9", "7.4.1"]);
    let lines = choose(&packages, &["default"]);
    assert_eq!(lines[0], kernel("default", "7.3.9", ""));
    assert!(
        lines[1].contains("nobody has compared Rust with Linux 7.3.9"),
        "{lines:?}"
    );
}

#[test]
fn where_all_series_are_gone_there_still_is_a_kernel() {
    let lines = choose(&archive(&["7.5.1", "7.4.8"]), &["default"]);
    assert_eq!(lines[0], kernel("default", "7.5.1", ""));
    assert!(
        lines[1].contains("Linux 7.5 is not supported yet"),
        "{lines:?}"
    );
}

#[test]
fn what_can_not_be_built_for_is_not_there() {
    let mut packages = archive(&["7.2.6"]);
    let mut newer = release("7.2.12", &[""]);
    newer.retain(|package| !package.starts_with("linux-headers"));
    packages.extend(newer);
    let mut other = release("7.3.2", &[""]);
    other.retain(|package| !package.starts_with("linux-source-"));
    packages.extend(other);
    assert_eq!(
        choose(&packages, &["default"]),
        [kernel("default", "7.2.6", "")]
    );
}

#[test]
fn what_the_archive_has_besides_is_no_kernel() {
    let mut packages = archive(&["7.3.2"]);
    packages.extend(
        [
            "linux-image-7.3.9~rc2+deb13-amd64 7.3.9~rc2-1~exp1",
            "linux-headers-7.3.9~rc2+deb13-amd64 7.3.9~rc2-1~exp1",
            "linux-image-7.9.1+deb13-fancy-amd64 7.9.1-1",
            "linux-headers-7.9.1+deb13-fancy-amd64 7.9.1-1",
            "linux-source-7.9 7.9.1-1",
            "linux-image-amd64-signed-template 7.9.1-1",
            "linux-image-7.9.1+deb13-arm64 7.9.1-1",
            "linux-image- 1",
            "",
        ]
        .map(str::to_owned),
    );
    assert_eq!(
        choose(&packages, &["newest"]),
        [kernel("newest", "7.3.2", "")]
    );
}

#[test]
fn flavours_and_releases_by_name() {
    let packages = archive(&["7.2.6", "7.2.12", "7.3.2"]);
    assert_eq!(
        choose(&packages, &["7.3-rt", "7.2.6", "7.2-cloud", "default-rt"]),
        [
            kernel("7.3-rt", "7.3.2", "-rt"),
            kernel("7.2.6", "7.2.6", ""),
            kernel("7.2-cloud", "7.2.12", "-cloud"),
            kernel("default-rt", "7.3.2", "-rt"),
        ]
    );
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    let packages = archive(&["7.2.6", "7.3.2"]);
    let lines = choose(&packages, &["7.2.7", "seven"]);
    assert!(lines[0].starts_with("none 7.2.7 ") && lines[0].ends_with("it has 7.3.2 7.2.6"));
    assert!(
        lines[1].starts_with("none seven not a kernel's name"),
        "{lines:?}"
    );
}

#[test]
fn an_empty_archive_is_told() {
    let lines = choose(&[], &["default"]);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].starts_with("none default "), "{lines:?}");
}

#[test]
fn others_are_the_other_series_and_preempt_rt() {
    let packages = archive(&["7.2.6", "7.3.2", "7.4.1"]);
    assert_eq!(
        choose(&packages, &["others"]),
        [kernel("7.2", "7.2.6", ""), kernel("7.3-rt", "7.3.2", "-rt")]
    );
    // A flavour that is gone is a reason to skip, and none to stop.
    let packages: Vec<_> = [release("7.2.6", &FLAVOURS), release("7.3.2", &[""])].concat();
    let lines = choose(&packages, &["others"]);
    assert_eq!(lines[0], kernel("7.2", "7.2.6", ""));
    assert!(lines[1].starts_with("none 7.3-rt "), "{lines:?}");
}

#[test]
fn all_is_each_flavour_of_the_supported_series() {
    let packages = archive(&["7.2.6", "7.3.9", "7.4.1"]);
    let lines = choose(&packages, &["all"]);
    let names: Vec<_> = lines
        .iter()
        .map(|line| line.split(' ').nth(1).unwrap())
        .collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(
        sorted,
        [
            "7.2.6",
            "7.2.6-cloud",
            "7.2.6-rt",
            "7.3.9",
            "7.3.9-cloud",
            "7.3.9-rt"
        ]
    );
}
