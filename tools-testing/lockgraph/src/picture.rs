// SPDX-License-Identifier: GPL-2.0

//! The order as a picture.

use crate::{
    besides::BESIDES,
    compare::{with_reasons, Comparison},
    declared::{visible, Edge},
    svg::{self, Sign},
};
use layout::{
    core::{base::Orientation, geometry::Point, style::StyleAttr},
    std_shapes::shapes::{Arrow, Element, ShapeKind},
    topo::layout::VisualGraph,
};
use pure::sync::order::Row;
use std::collections::BTreeMap;

/// How a level is drawn: a lock, a read-side critical section, and what is neither.
const LOCK: &str = "lock";
const SECTION: &str = "section";
const NOTIFIER: &str = "notifier";

const TITLE: &str = "The lock order of KVM's Xen emulation";

/// How an edge is drawn: its class in the picture's style sheet.
const SEEN: &str = "seen";
const UNSEEN: &str = "unseen";
const IN_C: &str = "besides";
const UNDECLARED: &str = "undeclared";

/// The order in words, a line for each edge with a reason. A picture that does not have it was
/// drawn from another declaration.
pub fn description() -> String {
    with_reasons()
        .map(|edge| edge.to_string())
        .collect::<Vec<_>>()
        .join("\n")
}

/// Draws the declared order, against what was seen if something was.
pub fn draw(comparison: Option<&Comparison>) -> String {
    let mut edges = BTreeMap::new();
    let mut legend = Vec::new();
    match comparison {
        None => {
            edges.extend(with_reasons().map(|edge| (edge, SEEN)));
            edges.extend(BESIDES.iter().map(|besides| (besides.edge, IN_C)));
            legend.push((
                Sign::Arrow,
                SEEN,
                "declared: entered, or waited for, inside",
            ));
        }
        Some(comparison) => {
            edges.extend(with_reasons().map(|edge| (edge, UNSEEN)));
            edges.extend(
                comparison
                    .seen
                    .iter()
                    .filter_map(|(edge, way)| {
                        // What is declared but has no reason of its own follows from what has.
                        (way.is_empty() || edges.contains_key(edge)).then_some((*edge, SEEN))
                    })
                    .collect::<Vec<_>>(),
            );
            edges.extend(comparison.besides.iter().map(|edge| (*edge, IN_C)));
            edges.extend(comparison.undeclared.iter().map(|edge| (*edge, UNDECLARED)));
            legend.push((Sign::Arrow, SEEN, "declared, and seen by lockdep"));
            if !comparison.unseen.is_empty() {
                legend.push((Sign::Arrow, UNSEEN, "declared, not seen"));
            }
            if !comparison.undeclared.is_empty() {
                legend.push((Sign::Arrow, UNDECLARED, "seen, not declared"));
            }
        }
    }
    if edges.values().any(|class| *class == IN_C) {
        legend.push((
            Sign::Arrow,
            IN_C,
            "in C alone: enters a read-side critical section, which never waits",
        ));
    }
    legend.extend([
        (Sign::Box, LOCK, "a lock"),
        (Sign::Box, SECTION, "a read-side critical section of SRCU"),
        (
            Sign::Box,
            NOTIFIER,
            "an invalidation by MMU notifiers, which others wait for",
        ),
    ]);
    svg::draw(graph(&edges), TITLE, &description(), &legend)
}

fn graph(edges: &BTreeMap<Edge, &str>) -> VisualGraph {
    let mut graph = VisualGraph::new(Orientation::TopToBottom);
    let nodes: BTreeMap<_, _> = visible()
        .map(|row| (row.level, graph.add_node(node(row))))
        .collect();
    // Those of the order first, which the ranks then come from.
    let (order, others): (Vec<_>, Vec<_>) = edges
        .iter()
        .partition(|(_, class)| [SEEN, UNSEEN].contains(class));
    for (edge, class) in order.into_iter().chain(others) {
        // An undeclared one may be with a level that has no place in the order.
        if let (Some(outer), Some(inner)) = (nodes.get(edge.outer), nodes.get(edge.inner)) {
            let arrow = Arrow::simple_with_properties("", format!("class=\"{class}\""));
            graph.add_edge(arrow, *outer, *inner);
        }
    }
    graph
}

fn node(row: &Row) -> Element {
    let class = match row.entry {
        "AtOnce" => SECTION,
        _ if row.level == "Invalidation" => NOTIFIER,
        _ => LOCK,
    };
    Element::create_with_properties(
        ShapeKind::new_box(row.name),
        StyleAttr::simple(),
        Orientation::TopToBottom,
        Point::new(24.0 + 7.8 * row.name.len() as f64, 34.0),
        format!("class=\"{class}\""),
    )
}

/// Whether a picture was drawn from the present declaration.
pub fn is_current(picture: &str) -> bool {
    picture.contains(&format!("<desc>{}</desc>", svg::escape(&description())))
}
