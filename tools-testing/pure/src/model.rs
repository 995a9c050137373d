// SPDX-License-Identifier: GPL-2.0

//! All contexts that there can be, made from the declared order as the traits make them, and what
//! may be done in each.

use crate::sync::order::{Id, Row, TABLE};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

/// What a task does in a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// Enters a level.
    Enter(&'static str),
    /// Does what has a property for a bound.
    Do(&'static str),
}

/// All rows of the table.
pub fn rows() -> impl Iterator<Item = &'static Row> + Clone {
    TABLE.into_iter().flatten()
}

/// The row of a level.
pub fn row(level: &str) -> &'static Row {
    rows()
        .find(|row| row.level == level)
        .unwrap_or_else(|| panic!("`{level}` is no level"))
}

impl Row {
    /// Whether it comes before `inner`.
    pub fn before(&self, inner: &str) -> bool {
        self.inner.contains(&inner) || row(inner).anywhere
    }

    /// Whether it keeps a property, without `PREEMPT_RT`.
    pub fn keeps(&self, property: &str) -> bool {
        self.keeps.contains(&property) || self.unless_rt.contains(&property)
    }

    /// The property of a context that may wait for it.
    pub fn wait(&self) -> Option<&'static str> {
        match self.entry {
            "Asleep" => Some("MaySleep"),
            "Spinning" => Some("MaySpin"),
            "AtOnce" => None,
            other => panic!("`{}` is entered `{other}`", self.level),
        }
    }
}

/// A context: its levels, outermost first.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Context(pub Vec<&'static str>);

impl Context {
    /// Whether a lock may be tried under `PREEMPT_RT`.
    pub fn may_try_lock_under_rt(&self) -> bool {
        let mut levels = self.0.iter();
        levels.all(|level| row(level).keeps.contains(&"MayTryLock"))
    }

    /// Whether it has a property, as the trait implementations say.
    pub fn has(&self, property: &str) -> bool {
        let given = match property {
            "InKvmSrcu" => "KvmSrcu",
            "InVmMm" => "VmMm",
            // So outside of everything.
            _ => return self.0.iter().all(|level| row(level).keeps(property)),
        };
        let Some(at) = self.0.iter().rposition(|level| *level == given) else {
            return false;
        };
        self.0[at + 1..]
            .iter()
            .all(|level| row(level).keeps(property))
    }

    /// Whether `level` may be entered, as the trait implementations say: asking the innermost.
    pub fn may_enter(&self, level: &str) -> bool {
        self.0.last().is_none_or(|top| row(top).before(level))
            && row(level).wait().is_none_or(|wait| self.has(wait))
    }

    /// Its levels as a set, as `Held::LEVELS` has them.
    pub fn set(&self) -> u32 {
        let number = |level: &&str| Id::ALL.iter().find(|id| format!("{id:?}") == **level);
        let bits = self
            .0
            .iter()
            .map(|level| 1 << *number(level).expect("a level") as u32);
        bits.sum()
    }

    /// All that may be done.
    pub fn acts(&self) -> BTreeSet<Act> {
        let levels = rows().filter(|row| self.may_enter(row.level));
        let properties = properties()
            .into_iter()
            .filter(|property| self.has(property));
        levels
            .map(|row| Act::Enter(row.level))
            .chain(properties.map(Act::Do))
            .collect()
    }
}

/// All properties that are kept by anything.
pub fn properties() -> BTreeSet<&'static str> {
    rows().flat_map(|row| row.keeps.iter().copied()).collect()
}

/// All contexts, with each level in it once at most and one of those that come anywhere.
pub fn contexts() -> &'static [Context] {
    static CONTEXTS: LazyLock<Vec<Context>> = LazyLock::new(|| {
        let mut contexts = vec![Context::default()];
        let mut next = 0;
        while let Some(context) = contexts.get(next).cloned() {
            next += 1;
            let interrupted = context.0.iter().any(|level| row(level).anywhere);
            for row in rows() {
                if !context.0.contains(&row.level)
                    && context.may_enter(row.level)
                    && !(row.anywhere && interrupted)
                {
                    let mut inside = context.clone();
                    inside.0.push(row.level);
                    contexts.push(inside);
                }
            }
        }
        contexts
    });
    &CONTEXTS
}

/// For each level, those that a task inside of it may wait for: to be free, or, for `KvmSrcu`, to
/// be left by all.
pub fn waits() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let mut waits = BTreeMap::<&str, BTreeSet<_>>::new();
    for context in contexts() {
        let mut on: BTreeSet<_> = rows()
            .filter(|row| row.wait().is_some() && context.may_enter(row.level))
            .map(|row| row.level)
            .collect();
        if context.has("MayWaitForSrcu") {
            on.insert("KvmSrcu");
        }
        for level in &context.0 {
            waits.entry(*level).or_default().extend(&on);
        }
    }
    waits
}
