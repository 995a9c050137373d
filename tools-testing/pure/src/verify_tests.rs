// SPDX-License-Identifier: GPL-2.0

//! What a debug kernel would say to contexts that are wrong.

use crate::sync::{
    callers::{
        Anywhere, Destruction, InKvmRun, SchedOut, SetIrq, TimerHardIrq, VcpuIoctl, VmIoctl,
    },
    context::{Ctx, Held},
    order::Id,
    verify::{claim, verify, Claim, Witness},
};
use std::cell::{Cell, RefCell};

/// A task as a debug kernel sees it.
#[derive(Default)]
struct Task {
    inside: Vec<Id>,
    unknown: Vec<Id>,
    complaints: RefCell<Vec<(Id, Claim)>>,
    asked_to_sleep: Cell<bool>,
}

impl Witness for Task {
    const ENABLED: bool = true;
    fn is_inside(&self, level: Id) -> Option<bool> {
        (!self.unknown.contains(&level)).then(|| self.inside.contains(&level))
    }
    fn might_sleep(&self) {
        self.asked_to_sleep.set(true);
    }
    fn contradict(&self, level: Id, claim: Claim) {
        self.complaints.borrow_mut().push((level, claim));
    }
}

/// What is said of a task inside of some levels that is claimed to be in `H`.
fn complaints<H: Held>(inside: &[Id]) -> Vec<(Id, Claim)> {
    let task = Task {
        inside: inside.to_vec(),
        ..Task::default()
    };
    // SAFETY: The context is not used.
    let _: Ctx<'_, H> = unsafe { Ctx::assert_before(&task) };
    assert_eq!(task.asked_to_sleep.get(), H::SLEEPS);
    task.complaints.into_inner()
}

const RUN: [Id; 3] = [Id::VmMm, Id::VcpuMutex, Id::KvmSrcu];

#[test]
fn a_right_claim_is_met_with_silence() {
    assert_eq!(complaints::<VmIoctl>(&[Id::VmMm]), []);
    assert_eq!(complaints::<VcpuIoctl>(&RUN[..2]), []);
    assert_eq!(complaints::<InKvmRun>(&RUN), []);
    assert_eq!(complaints::<Destruction>(&[]), []);
    // The ioctl that sets an interrupt has the address space, the workqueue does not.
    assert_eq!(complaints::<SetIrq>(&[Id::VmMm]), []);
    assert_eq!(complaints::<SetIrq>(&[]), []);
}

#[test]
fn a_lock_that_is_not_held_is_told() {
    assert_eq!(
        complaints::<InKvmRun>(&RUN[..2]),
        [(Id::KvmSrcu, Claim::Inside)]
    );
    assert_eq!(
        complaints::<VcpuIoctl>(&RUN[..1]),
        [(Id::VcpuMutex, Claim::Inside)]
    );
    assert_eq!(
        complaints::<TimerHardIrq>(&[]),
        [(Id::HardIrq, Claim::Inside)]
    );
}

#[test]
fn a_lock_too_many_is_told() {
    assert_eq!(
        complaints::<VcpuIoctl>(&RUN),
        [(Id::KvmSrcu, Claim::Outside)]
    );
    let held = [Id::VmMm, Id::XenLock];
    assert_eq!(
        complaints::<VmIoctl>(&held),
        [(Id::XenLock, Claim::Outside)]
    );
    assert_eq!(
        complaints::<SetIrq>(&[Id::IrqSrcu]),
        [(Id::IrqSrcu, Claim::Outside)]
    );
}

/// An interrupt came on top of whatever there was.
#[test]
fn what_an_interrupt_came_upon_may_hold_anything() {
    let anything: Vec<_> = Id::ALL.to_vec();
    assert_eq!(complaints::<TimerHardIrq>(&anything), []);
    assert_eq!(complaints::<SchedOut>(&anything), []);
    assert_eq!(complaints::<Anywhere>(&anything), []);
}

#[test]
fn what_can_not_be_told_is_not_told() {
    let task = Task {
        unknown: Id::ALL.to_vec(),
        ..Task::default()
    };
    verify::<InKvmRun, _>(&task);
    assert_eq!(task.complaints.into_inner(), []);
}

#[test]
fn a_kernel_that_can_not_tell_is_not_asked() {
    struct Blind;
    impl Witness for Blind {
        const ENABLED: bool = false;
        fn is_inside(&self, _level: Id) -> Option<bool> {
            panic!("asked")
        }
        fn might_sleep(&self) {
            panic!("asked")
        }
        fn contradict(&self, _level: Id, _claim: Claim) {
            panic!("told")
        }
    }
    verify::<InKvmRun, _>(&Blind);
}

/// A context that may wait for a grace period says of each level that readers wait in that it is
/// outside of it.
#[test]
fn what_waiting_relies_on_is_claimed() {
    for level in [
        Id::KvmSrcu,
        Id::SlotsArchLock,
        Id::XenLock,
        Id::GpcRefreshLock,
    ] {
        assert_eq!(claim::<VcpuIoctl>(level), Claim::Outside);
        assert_eq!(claim::<Destruction>(level), Claim::Outside);
        assert_eq!(
            claim::<SchedOut>(level),
            [Claim::Nothing, Claim::Inside][usize::from(level == Id::KvmSrcu)]
        );
    }
}
