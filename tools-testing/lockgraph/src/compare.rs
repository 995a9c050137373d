// SPDX-License-Identifier: GPL-2.0

//! The declared order against what lockdep has seen.

use crate::{
    besides::BESIDES,
    declared::{classed, ordered, row, Edge},
    lockdep::{Class, Observed},
    neighbours::{is_of_kvm, neighbour},
    reasons::REASONS,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How an edge was seen: between the levels' own classes, or by way of others.
pub type Path = Vec<Class>;

/// What came out.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Declared edges that were seen, with the classes in between.
    pub seen: BTreeMap<Edge, Path>,
    /// Edges with a reason that were not seen.
    pub unseen: BTreeSet<Edge>,
    /// Edges that C has besides.
    pub besides: BTreeSet<Edge>,
    /// Edges that nobody has declared.
    pub undeclared: BTreeSet<Edge>,
    /// Undeclared orders that follow by way of other classes. Lockdep checks these itself.
    pub indirect: BTreeMap<Edge, Path>,
    /// The classes of no level that were seen directly beside a level, by name.
    pub beside: BTreeMap<String, Beside>,
    /// Those of them that are KVM's, and where they were seen is told by no entry.
    pub unexplained: BTreeSet<String>,
}

/// Where a class of no level was seen.
#[derive(Debug, Default)]
pub struct Beside {
    /// The levels that it was taken directly inside of.
    pub inside: BTreeSet<&'static str>,
    /// Those that were entered directly inside of it.
    pub around: BTreeSet<&'static str>,
}

impl Beside {
    /// Whether the class is one of the rest of the kernel, or has an entry that tells all of this.
    fn is_explained(&self, class: &str) -> bool {
        let Some(neighbour) = neighbour(class) else {
            return !is_of_kvm(class);
        };
        let mut inside = self.inside.iter();
        let mut around = self.around.iter();
        inside.all(|level| neighbour.is_inside(level))
            && around.all(|level| neighbour.is_around(level))
    }
}

impl std::fmt::Display for Beside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = |levels: &BTreeSet<&str>| {
            let names: Vec<_> = levels.iter().map(|level| row(level).name).collect();
            names.join(", ")
        };
        let sides = [("inside", &self.inside), ("around", &self.around)];
        let mut sides = sides.iter().filter(|(_, levels)| !levels.is_empty());
        if let Some((side, levels)) = sides.next() {
            write!(f, "{side} {}", names(levels))?;
        }
        sides.try_for_each(|(side, levels)| write!(f, "; {side} {}", names(levels)))
    }
}

/// The levels that a class may be of.
fn levels(class: &Class) -> Vec<&'static str> {
    let of = |name: &str| -> Vec<_> {
        let rows = classed().filter(|row| row.lockdep.contains(&name));
        rows.map(|row| row.level).collect()
    };
    match of(&class.to_string()) {
        // A subclass that has no level of its own.
        levels if levels.is_empty() => of(&class.name),
        levels => levels,
    }
}

/// The edge that one class inside another is.
fn edge(outer: &Class, inner: &Class) -> Option<Edge> {
    let (outer, inner) = (levels(outer), levels(inner));
    let pairs = || {
        let pairs = outer
            .iter()
            .flat_map(|a| inner.iter().map(|b| Edge::new(a, b)));
        pairs.filter(|edge| edge.outer != edge.inner)
    };
    // A class may stand for two levels; then it was the one that is in order.
    pairs()
        .find(|edge| edge.is_declared())
        .or_else(|| pairs().next())
}

/// The classes of levels that are reached from `start` by way of classes that are of none, each
/// with the shortest way.
///
/// A run queue's lock is of a level, so no way leads on from there: whoever is preempted has it
/// taken, whatever it holds, and the notifier that KVM has for that enters a read-side critical
/// section.
fn reached(observed: &Observed, start: &Class) -> Vec<(Class, Path)> {
    let mut found = Vec::new();
    let mut known = BTreeSet::from([start.clone()]);
    let mut queue = VecDeque::from([(start.clone(), Path::new())]);
    while let Some((class, way)) = queue.pop_front() {
        for next in observed.after.get(&class).into_iter().flatten() {
            if !known.insert(next.clone()) {
                continue;
            }
            if levels(next).is_empty() {
                let mut way = way.clone();
                way.push(next.clone());
                queue.push_back((next.clone(), way));
            } else {
                found.push((next.clone(), way.clone()));
            }
        }
    }
    found
}

/// The classes of no level that are directly beside one with a place in the order.
fn beside(observed: &Observed) -> BTreeMap<String, Beside> {
    // A class that two levels share is told as the first.
    let level = |class: &Class| {
        let levels = levels(class);
        let mut levels = levels.into_iter();
        levels.find(|level| ordered().any(|row| row.level == *level))
    };
    let is_none = |class: &Class| levels(class).is_empty();
    let mut beside = BTreeMap::<String, Beside>::new();
    for (outer, inside) in &observed.after {
        for inner in inside {
            if let (Some(level), true) = (level(outer), is_none(inner)) {
                let seen = beside.entry(inner.name.clone()).or_default();
                seen.inside.insert(level);
            }
            if let (true, Some(level)) = (is_none(outer), level(inner)) {
                let seen = beside.entry(outer.name.clone()).or_default();
                seen.around.insert(level);
            }
        }
    }
    beside
}

impl Comparison {
    /// Compares.
    pub fn new(observed: &Observed) -> Self {
        let mut result = Self::default();
        let classes = observed
            .after
            .keys()
            .filter(|class| !levels(class).is_empty());
        for outer in classes {
            for (inner, way) in reached(observed, outer) {
                let Some(edge) = edge(outer, &inner) else {
                    continue;
                };
                if edge.is_declared() && !edge.is_visible() {
                    continue;
                }
                if edge.is_declared() {
                    let shortest = result.seen.entry(edge).or_insert_with(|| way.clone());
                    if way.len() < shortest.len() {
                        *shortest = way;
                    }
                } else if BESIDES.iter().any(|besides| besides.edge == edge) {
                    result.besides.insert(edge);
                } else if way.is_empty() {
                    result.undeclared.insert(edge);
                } else {
                    result.indirect.entry(edge).or_insert(way);
                }
            }
        }
        result
            .indirect
            .retain(|edge, _| !result.undeclared.contains(edge));
        result.unseen = with_reasons()
            .filter(|edge| !result.seen.contains_key(edge))
            .collect();
        result.beside = beside(observed);
        let unexplained = result.beside.iter();
        let unexplained = unexplained.filter(|(class, seen)| !seen.is_explained(class));
        result.unexplained = unexplained.map(|(class, _)| class.clone()).collect();
        result
    }
}

/// The edges of the picture: those with a reason, between levels that lockdep can see.
pub fn with_reasons() -> impl Iterator<Item = Edge> {
    let edges = REASONS.iter().map(|reason| reason.edge);
    edges.filter(|edge| edge.is_visible())
}

impl std::fmt::Display for Comparison {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let by_way_of = |way: &Path| match way.as_slice() {
            [] => String::new(),
            way => {
                let names: Vec<_> = way.iter().map(Class::to_string).collect();
                format!(" (by way of {})", names.join(", "))
            }
        };
        for (edge, way) in &self.seen {
            writeln!(f, "seen        {edge}{}", by_way_of(way))?;
        }
        for edge in &self.besides {
            writeln!(f, "in C alone  {edge}")?;
        }
        for (edge, way) in &self.indirect {
            writeln!(f, "indirect    {edge}{}", by_way_of(way))?;
        }
        for edge in &self.unseen {
            writeln!(f, "not seen    {edge}")?;
        }
        for (class, seen) in &self.beside {
            let kind = match self.unexplained.contains(class) {
                true => "UNEXPLAINED",
                false if is_of_kvm(class) => "beside",
                false => "not of KVM",
            };
            writeln!(f, "{kind:<11} {class}: {seen}")?;
        }
        for edge in &self.undeclared {
            writeln!(f, "UNDECLARED  {edge}")?;
        }
        let all = with_reasons().count();
        write!(
            f,
            "{} of {all} declared edges seen, {} in C alone, {} undeclared, {} unexplained",
            all - self.unseen.len(),
            self.besides.len(),
            self.undeclared.len(),
            self.unexplained.len()
        )
    }
}
