// SPDX-License-Identifier: GPL-2.0

//! The declared order as a graph.

use pure::sync::order::{Row, TABLE};

/// One level before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Edge {
    /// The level that is entered first.
    pub outer: &'static str,
    /// The level that is entered inside it.
    pub inner: &'static str,
}

impl Edge {
    /// From `outer` to `inner`, by the names of their types.
    pub const fn new(outer: &'static str, inner: &'static str) -> Self {
        Self { outer, inner }
    }

    /// Whether the order allows it.
    pub fn is_declared(self) -> bool {
        row(self.inner).anywhere || row(self.outer).inner.contains(&self.inner)
    }

    /// Whether it is of the picture: between levels with a place in the order.
    pub fn is_visible(self) -> bool {
        [self.outer, self.inner]
            .iter()
            .all(|level| visible().any(|row| row.level == *level))
    }
}

impl std::fmt::Display for Edge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} > {}", row(self.outer).name, row(self.inner).name)
    }
}

/// The levels with a place in the order, outermost first.
pub fn ordered() -> impl Iterator<Item = &'static Row> + Clone {
    TABLE[0].iter()
}

/// All levels.
pub fn rows() -> impl Iterator<Item = &'static Row> + Clone {
    TABLE.into_iter().flatten()
}

/// The row of a level that is declared.
pub fn row(level: &str) -> &'static Row {
    rows()
        .find(|row| row.level == level)
        .unwrap_or_else(|| panic!("`{level}` is no level"))
}

/// The levels that lockdep has classes for.
pub fn classed() -> impl Iterator<Item = &'static Row> + Clone {
    rows().filter(|row| !row.lockdep.is_empty())
}

/// Those of them with a place in the order, and so in the picture.
pub fn visible() -> impl Iterator<Item = &'static Row> + Clone {
    ordered().filter(|row| !row.lockdep.is_empty())
}
