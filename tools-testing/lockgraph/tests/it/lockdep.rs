// SPDX-License-Identifier: GPL-2.0

//! The text of `/proc/lockdep`, as `l_show()` prints it.

use lockgraph::lockdep::{Class, Observed};

/// As a kernel with CONFIG_DEBUG_LOCKDEP prints it.
const WITH_COUNTS: &str = "\
all lock classes:
00000000b3a9d1f2 OPS:      12 FD:   31 BD:    1 +.+.: &kvm->lock
 -> [000000001f0d8c11] &vcpu->mutex
 -> [00000000c3c3d4a0] fs_reclaim

000000001f0d8c11 OPS:  123456 FD:   30 BD:    2 +.+.: &vcpu->mutex
 -> [0000000077aa0e10] &kvm->srcu

0000000077aa0e10 OPS: 9876543 FD:    9 BD:   14 .+.+: &kvm->srcu

00000000c3c3d4a0 OPS:       1 FD:    2 BD:  300 +.+.-....: fs_reclaim

";

fn class(name: &str, subclass: u32) -> Class {
    Class {
        name: name.into(),
        subclass,
    }
}

fn after(observed: &Observed, outer: &str) -> Vec<String> {
    observed.after[&Class::parse(outer)]
        .iter()
        .map(Class::to_string)
        .collect()
}

#[test]
fn classes_and_what_is_inside_them() {
    let observed = Observed::parse(WITH_COUNTS).unwrap();
    assert_eq!(observed.after.len(), 4);
    assert_eq!(
        after(&observed, "&kvm->lock"),
        ["&vcpu->mutex", "fs_reclaim"]
    );
    assert_eq!(after(&observed, "&vcpu->mutex"), ["&kvm->srcu"]);
    assert_eq!(after(&observed, "&kvm->srcu"), [""; 0]);
}

#[test]
fn without_counts() {
    let text = WITH_COUNTS
        .lines()
        .map(|line| match line.find(" OPS:") {
            Some(at) => format!("{}{}\n", &line[..at], &line[at + 13..]),
            None => format!("{line}\n"),
        })
        .collect::<String>();
    assert!(!text.contains("OPS") && text.contains("b3a9d1f2 FD:   31 BD:    1 +.+.: &kvm->lock"));
    let observed = Observed::parse(&text).unwrap();
    assert_eq!(observed.after, Observed::parse(WITH_COUNTS).unwrap().after);
}

#[test]
fn names_with_all_that_is_printed_around_them() {
    for (text, expected) in [
        ("&gpc->lock", class("&gpc->lock", 0)),
        ("&gpc->lock/1", class("&gpc->lock", 1)),
        (
            "&kvm->arch.xen.xen_lock#2",
            class("&kvm->arch.xen.xen_lock", 0),
        ),
        ("&kvm->lock#12/1", class("&kvm->lock", 1)),
        ("kn->active#3", class("kn->active", 0)),
        (
            "(work_completion)(&(&krcp->monitor_work)->work)",
            class("(work_completion)(&(&krcp->monitor_work)->work)", 0),
        ),
        ("drivers/foo.c:12", class("drivers/foo.c:12", 0)),
        ("&a/b", class("&a/b", 0)),
    ] {
        assert_eq!(Class::parse(text), expected, "{text}");
    }
}

#[test]
fn a_name_with_a_colon_in_it() {
    let text = "all lock classes:\n00aa FD:    1 BD:    1 ....: drivers: odd: name\n\n";
    let observed = Observed::parse(text).unwrap();
    assert_eq!(
        observed.after.keys().next().unwrap().name,
        "drivers: odd: name"
    );
}

/// Two classes of one name, as after kvm.ko was loaded again, are one to us.
#[test]
fn versions_of_a_class_are_one() {
    let text = "all lock classes:\n\
        00aa FD:    1 BD:    1 ....: &kvm->lock\n -> [00bb] &vcpu->mutex\n\n\
        00cc FD:    1 BD:    1 ....: &kvm->lock#2\n -> [00dd] &kvm->slots_lock#2\n\n";
    let observed = Observed::parse(text).unwrap();
    assert_eq!(
        after(&observed, "&kvm->lock"),
        ["&kvm->slots_lock", "&vcpu->mutex"]
    );
}

#[test]
fn what_is_not_from_lockdep_is_refused() {
    for (text, message) in [
        ("", "all lock classes:"),
        ("lock-classes: 12\n", "all lock classes:"),
        ("all lock classes:\n -> [00aa] &kvm->lock\n", "line 2"),
        (
            "all lock classes:\n00aa FD:    1 BD:    1 ....: a\n -> 00aa b\n",
            "line 3",
        ),
        ("all lock classes:\n00aa FD:    1 BD:    1 a\n", "line 2"),
        (
            "all lock classes:\n00aa: &kvm->lock\n",
            "CONFIG_PROVE_LOCKING",
        ),
    ] {
        let error = Observed::parse(text).unwrap_err().to_string();
        assert!(error.contains(message), "{text:?}: {error}");
    }
}
