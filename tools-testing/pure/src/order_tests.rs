// SPDX-License-Identifier: GPL-2.0

//! What makes the declared order one, and one that deadlocks can't come of.

use crate::{
    model::{contexts, properties, row, rows, waits, Act, Context},
    sync::{
        order::{Row, TABLE},
        Held, InSection, MayDeliver, MayRefresh,
    },
};
use std::collections::BTreeSet;

/// The rows that have a place in the order.
fn ordered() -> impl Iterator<Item = &'static Row> + Clone {
    TABLE[0].iter()
}

#[test]
fn every_name_in_the_table_is_known() {
    let levels: BTreeSet<_> = rows().map(|row| row.level).collect();
    assert_eq!(levels.len(), rows().count(), "a level is declared twice");
    for row in rows() {
        for inner in row.inner {
            assert!(levels.contains(inner), "{} > {inner}", row.level);
        }
        row.wait();
        assert!(!row.doc.is_empty() && !row.name.is_empty(), "{}", row.level);
    }
    assert_eq!(
        properties().into_iter().collect::<Vec<_>>(),
        [
            "InKvmSrcu",
            "InVmMm",
            "MaySleep",
            "MaySpin",
            "MayTryLock",
            "MayWaitForGuest",
            "MayWaitForSrcu",
            "MayWake"
        ]
    );
}

#[test]
fn nothing_comes_before_itself() {
    for row in rows() {
        assert!(!row.inner.contains(&row.level), "{}", row.level);
    }
}

/// The table is written outermost level first, so that there is no cycle in it.
#[test]
fn what_comes_later_is_declared_later() {
    let position = |level: &str| ordered().position(|row| row.level == level);
    for row in ordered() {
        for inner in row.inner {
            assert!(
                position(row.level) < position(inner),
                "{} > {inner}",
                row.level
            );
        }
    }
}

/// Of a > b > c follows a > c, but where a task inside a can't wait for c anyway.
#[test]
fn the_order_is_transitively_closed() {
    let mut chains = 0;
    for a in rows() {
        for b in a.inner.iter().map(|b| row(b)) {
            for c in b.inner.iter().map(|c| row(c)) {
                let may_wait = c.wait().is_none_or(|wait| a.keeps(wait));
                assert!(
                    a.before(c.level) || !may_wait,
                    "{} > {} > {}, but not {0} > {2}",
                    a.level,
                    b.level,
                    c.level
                );
                chains += 1;
            }
        }
    }
    assert!(chains > 100, "{chains}");
}

/// The rule that the traits rely on. A level that is waited for comes after every level of the
/// context, not only after the innermost.
#[test]
fn asking_the_innermost_level_is_asking_all() {
    assert!(contexts().len() > 1000, "{}", contexts().len());
    for context in contexts() {
        for inner in rows().filter(|row| row.wait().is_some()) {
            if context.may_enter(inner.level) {
                for outer in &context.0 {
                    assert!(
                        row(outer).before(inner.level),
                        "{} in {context:?}",
                        inner.level
                    );
                }
            }
        }
    }
}

/// No circle of tasks can wait for one another: each level is only waited for inside of levels
/// that come before it, the end of read sections included.
#[test]
fn no_tasks_can_wait_for_each_other() {
    let waits = waits();
    let mut left: BTreeSet<_> = rows().map(|row| row.level).collect();
    while !left.is_empty() {
        let free: Vec<_> = left
            .iter()
            .copied()
            .filter(|level| waits.get(level).is_none_or(|on| on.is_disjoint(&left)))
            .collect();
        assert!(!free.is_empty(), "these wait for each other: {left:?}");
        left.retain(|level| !free.contains(level));
    }
    // It says something: these are the edges that the threads were about.
    for (outer, inner) in [
        ("SlotsLock", "KvmSrcu"),
        ("KvmLock", "KvmSrcu"),
        ("KvmSrcu", "SlotsArchLock"),
        ("SlotsArchLock", "Invalidation"),
        ("KvmSrcu", "XenLock"),
        ("XenLock", "GpcRefreshLock"),
    ] {
        assert!(waits[outer].contains(inner), "{outer} waits for {inner}");
    }
}

#[test]
fn what_may_not_sleep_has_nothing_inside_that_may() {
    for property in ["MaySleep", "MaySpin", "MayWaitForSrcu"] {
        for outer in ordered().filter(|row| !row.keeps(property)) {
            for inner in outer.inner.iter().map(|inner| row(inner)) {
                assert!(
                    !inner.keeps(property) || inner.wait().is_none(),
                    "{property}: {} > {}",
                    outer.level,
                    inner.level
                );
            }
        }
    }
    for row in TABLE[1] {
        assert!(
            !row.keeps("MaySleep") && !row.keeps("MaySpin"),
            "{}",
            row.level
        );
    }
}

/// As the traits are each other's supertraits.
#[test]
fn who_waits_may_sleep_and_who_sleeps_may_spin_and_so_try() {
    for row in rows() {
        for (stronger, weaker) in [
            ("MayWaitForSrcu", "MaySleep"),
            ("MayWaitForGuest", "MaySleep"),
            ("MaySleep", "MaySpin"),
            ("MaySpin", "MayTryLock"),
        ] {
            assert!(
                !row.keeps(stronger) || row.keeps(weaker),
                "{}: {stronger}",
                row.level
            );
            // Under `PREEMPT_RT`, too.
            assert!(
                !row.unless_rt.contains(&weaker) || !row.keeps(stronger),
                "{}: {stronger}",
                row.level
            );
        }
        let first = row.keeps.first() == Some(&"MaySleep");
        assert_eq!(row.keeps("MaySleep"), first, "{}: it goes first", row.level);
    }
}

/// To try a lock never waits. Only its release matters, and under `PREEMPT_RT` alone.
#[test]
fn a_lock_may_be_tried_anywhere_but_under_preempt_rt() {
    for row in rows() {
        assert!(row.keeps("MayTryLock"), "{}", row.level);
        assert!(
            row.unless_rt
                .iter()
                .all(|property| *property == "MayTryLock"),
            "{}",
            row.level
        );
        // Its release may wake a task there.
        assert!(
            !row.keeps.contains(&"MayTryLock") || row.keeps.contains(&"MayWake"),
            "{}",
            row.level
        );
    }
    let not: Vec<_> = rows()
        .filter(|row| !row.unless_rt.is_empty())
        .map(|row| row.level)
        .collect();
    assert_eq!(
        not,
        ["PreemptOff", "IrqsOff", "HardIrq", "RunQueue", "Atomic"]
    );
}

/// An allocation may reclaim a page of the guest's, and waits for the notifiers then.
#[test]
fn who_may_sleep_may_cause_an_invalidation() {
    for row in ordered().filter(|row| row.keeps("MaySleep")) {
        assert!(row.before("Invalidation"), "{}", row.level);
    }
}

#[test]
fn a_grace_period_is_awaited_outside_of_all_that_readers_wait_for() {
    let srcu = row("KvmSrcu");
    for row in rows().filter(|row| row.keeps("MayWaitForSrcu")) {
        assert!(!srcu.before(row.level), "{}", row.level);
    }
    for context in contexts().iter().filter(|context| context.has("InKvmSrcu")) {
        assert!(
            !context.has("MayWaitForSrcu") && !context.has("MayWaitForGuest"),
            "{context:?}"
        );
    }
}

/// The vCPU's own mutex alone: whoever wants that waits for the guest anyway.
#[test]
fn a_guest_keeps_no_one_waiting_but_for_its_vcpu() {
    let may = rows().filter(|row| row.keeps("MayWaitForGuest"));
    assert_eq!(
        may.map(|row| row.level).collect::<Vec<_>>(),
        ["VmMm", "VcpuMutex"]
    );
}

/// What C does besides the order is to enter these: see Documentation/locking.rst.
#[test]
fn sections_and_states_never_wait() {
    let at_once: Vec<_> = rows()
        .filter(|row| row.wait().is_none())
        .map(|row| row.level)
        .collect();
    let (sections, states) = at_once.split_at(2);
    assert_eq!(sections, ["IrqSrcu", "KvmSrcu"]);
    assert!(states.iter().all(|level| row(level).anywhere));
}

/// The contexts that others are turned into allow nothing that those don't.
#[test]
fn a_weaker_context_allows_no_more() {
    let in_section = Context(vec!["RunQueue", "KvmSrcu"]);
    let may_deliver = Context(vec!["Spinlock", "KvmSrcu"]);
    let may_refresh = Context(vec!["VmMm", "KvmSrcu", "XenLock"]);
    assert_eq!(in_section.set(), InSection::LEVELS);
    assert_eq!(may_deliver.set(), MayDeliver::LEVELS);
    assert_eq!(may_refresh.set(), MayRefresh::LEVELS);
    assert!(may_deliver.acts().contains(&Act::Do("MayWake")));
    assert!(may_refresh.acts().contains(&Act::Enter("GpcRefreshLock")));

    for context in contexts().iter().filter(|context| context.has("InKvmSrcu")) {
        let acts = context.acts();
        assert!(in_section.acts().is_subset(&acts), "{context:?}");
        let wakes = context.has("MayWake");
        assert!(!wakes || may_deliver.acts().is_subset(&acts), "{context:?}");
        // As `InSection` is `MayDeliver` under `PREEMPT_RT`.
        assert!(
            !context.may_try_lock_under_rt() || wakes && may_deliver.may_try_lock_under_rt(),
            "{context:?}"
        );
        let refreshes = context.has("InVmMm") && context.may_enter("GpcRefreshLock");
        assert!(
            !refreshes || may_refresh.acts().is_subset(&acts),
            "{context:?}"
        );
    }
}
