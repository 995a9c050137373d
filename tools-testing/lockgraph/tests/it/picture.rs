// SPDX-License-Identifier: GPL-2.0

//! The picture.

use crate::compare::lockdep;
use lockgraph::{
    compare::{with_reasons, Comparison},
    declared::visible,
    lockdep::Observed,
    picture::{draw, is_current},
};

fn draw_observed(edges: &[(&str, &str)]) -> String {
    draw(Some(&Comparison::new(
        &Observed::parse(&lockdep(edges)).unwrap(),
    )))
}

/// How many arrows of a class there are, without the one in the legend.
fn arrows(picture: &str, class: &str) -> usize {
    picture
        .matches(&format!("<g class=\"{class}\">"))
        .count()
        .saturating_sub(1)
}

#[test]
fn every_level_and_edge_is_there() {
    let picture = draw(None);
    for row in visible() {
        let name = row.name.replace('>', "&gt;");
        assert!(picture.contains(&format!(">{name}</text>")), "{name}");
    }
    assert_eq!(arrows(&picture, "seen"), with_reasons().count());
    assert_eq!(arrows(&picture, "besides"), 3);
}

#[test]
fn it_is_the_same_each_time() {
    assert_eq!(draw(None), draw(None));
}

#[test]
fn what_was_not_seen_is_dashed() {
    let picture = draw_observed(&[("&kvm->lock", "&vcpu->mutex")]);
    assert_eq!(arrows(&picture, "seen"), 1);
    assert_eq!(arrows(&picture, "unseen"), with_reasons().count() - 1);
    assert_eq!(arrows(&picture, "undeclared"), 0);
    assert!(picture.contains(".unseen path { stroke-dasharray"));
}

#[test]
fn what_was_not_declared_is_red() {
    let picture = draw_observed(&[("&kvm->srcu", "&kvm->lock")]);
    assert_eq!(arrows(&picture, "undeclared"), 1);
    assert!(picture.contains(".undeclared path { stroke: #c00"));
}

#[test]
fn the_picture_is_current() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../Documentation/lock-order.svg"
    );
    let picture = std::fs::read_to_string(path).unwrap();
    assert!(
        is_current(&picture),
        "lock-order.svg is stale: run `make lockgraph`"
    );
}

#[test]
fn a_picture_of_another_order_is_stale() {
    let picture = draw(None);
    assert!(is_current(&picture) && is_current(&draw_observed(&[("a", "b")])));
    assert!(!is_current(
        &picture.replace("kvm-&gt;lock &gt; vcpu", "vcpu-&gt;lock &gt; vcpu")
    ));
}

/// As far as can be told without a parser: what is opened is closed, and no name is left raw.
#[test]
fn it_is_xml() {
    let picture = draw(None);
    assert!(picture.starts_with("<?xml") && picture.ends_with("</svg>\n"));
    for tag in ["svg", "g", "text", "desc", "title", "style"] {
        let opened = picture.matches(&format!("<{tag} ")).count()
            + picture.matches(&format!("<{tag}>")).count();
        assert_eq!(
            opened,
            picture.matches(&format!("</{tag}>")).count(),
            "{tag}"
        );
    }
    assert!(!picture.contains("->") || picture.contains("-->"));
    assert_eq!(
        picture.matches("->").count(),
        1,
        "the end of the comment alone"
    );
}
