// SPDX-License-Identifier: GPL-2.0

//! Contexts that are asserted of C's callers, checked on kernels that can.
//!
//! A context says more than what it lists: that the task is inside of nothing else, which is what
//! allows it to wait. What an interrupt, or the scheduler, came on top of is not known.

use super::{
    context::{Ctx, Held},
    order::{Atomic, HardIrq, Id, Level, RunQueue, Softirq},
};

/// What a context says about a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The task is inside of it.
    Inside,
    /// The task is not inside of it.
    Outside,
    /// Nothing.
    Nothing,
}

/// What `H` says about `level`.
///
/// # Examples
///
/// ```
/// use crate::sync::{order::Id, verify::{claim, Claim}, InKvmRun, TimerHardIrq};
///
/// assert_eq!(claim::<InKvmRun>(Id::KvmSrcu), Claim::Inside);
/// assert_eq!(claim::<InKvmRun>(Id::XenLock), Claim::Outside);
/// // What the interrupt came on top of is not known.
/// assert_eq!(claim::<TimerHardIrq>(Id::XenLock), Claim::Nothing);
/// ```
pub(crate) const fn claim<H: Held>(level: Id) -> Claim {
    const fn set<L: Level>() -> u32 {
        1 << L::ID as u32
    }
    let on_top = set::<HardIrq>() | set::<Softirq>() | set::<RunQueue>() | set::<Atomic>();

    if H::LEVELS & (1 << level as u32) != 0 {
        Claim::Inside
    } else if H::LEVELS & on_top != 0 || matches!(level, Id::VmMm) {
        // An address space that is not needed does no harm.
        Claim::Nothing
    } else {
        Claim::Outside
    }
}

/// What can be found out about the current task and a VM.
///
/// # Examples
///
/// ```
/// use crate::sync::{order::Id, verify::{verify, Claim, Witness}, VmIoctl};
/// use core::cell::Cell;
///
/// /// Finds each task with preemption off, and nothing else.
/// struct Preempted(Cell<bool>);
///
/// impl Witness for Preempted {
///     const ENABLED: bool = true;
///     fn is_inside(&self, level: Id) -> Option<bool> {
///         (level == Id::PreemptOff).then_some(true)
///     }
///     fn might_sleep(&self) {}
///     fn contradict(&self, level: Id, claim: Claim) {
///         assert!(level == Id::PreemptOff && claim == Claim::Outside);
///         self.0.set(true);
///     }
/// }
///
/// let witness = Preempted(Cell::new(false));
/// verify::<VmIoctl, _>(&witness);
/// assert!(witness.0.get());
/// ```
pub(crate) trait Witness {
    /// Whether this kernel can tell at all: with `CONFIG_PROVE_LOCKING`, and while lockdep is on.
    /// Where it can't, the checks compile to nothing.
    const ENABLED: bool;

    /// Whether the task is inside of `level`, where that can be told: by `lockdep_is_held()`,
    /// `srcu_read_lock_held()`, `in_hardirq()` and the like.
    fn is_inside(&self, level: Id) -> Option<bool>;

    /// Warns if the task may not sleep: `might_sleep()`.
    fn might_sleep(&self);

    /// Warns, once, that the task is inside of `level`, or is not, against the claim.
    fn contradict(&self, level: Id, claim: Claim);
}

/// Compares what `H` says with what the witness finds.
pub(crate) fn verify<H: Held, W: Witness>(witness: &W) {
    if !W::ENABLED {
        return;
    }
    for &level in Id::ALL {
        match (claim::<H>(level), witness.is_inside(level)) {
            (claim @ Claim::Inside, Some(false)) | (claim @ Claim::Outside, Some(true)) => {
                witness.contradict(level, claim);
            }
            _ => {}
        }
    }
    if H::SLEEPS {
        witness.might_sleep();
    }
}

impl<H: Held> Ctx<'_, H> {
    /// Makes a context, as the caller promises it and, where there is a witness, as that finds it.
    ///
    /// # Safety
    ///
    /// As for [`Ctx::assert`].
    pub(crate) unsafe fn assert_before<W: Witness>(witness: &W) -> Self {
        verify::<H, W>(witness);
        // SAFETY: By the safety requirement.
        unsafe { Self::assert() }
    }
}
