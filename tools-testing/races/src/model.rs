// SPDX-License-Identifier: GPL-2.0

//! KVM as far as events need it.
//!
//! Kept are what threads share: the words of guest memory, what KVM has of VMs and vCPUs, the
//! table of senders, SRCU, requests, sleep. Each has the order that its counterpart promises and
//! no more: a plain access is relaxed, an atomic bit operation a full barrier, a read section of
//! `kvm->srcu` orders nothing among readers.
//!
//! `gpc->lock` is left out but where somebody waits for it: a mapping is there or is not, and
//! nothing is ordered by it. What holds without holds with it. What `kvm/xen_state.rs` does with
//! it is written out again, in [`table`]. Interrupts, KVM's notifiers and timers are threads.

pub(crate) mod host;
pub(crate) mod memory;
pub(crate) mod sleep;
pub(crate) mod srcu;
pub(crate) mod table;
pub(crate) mod vcpu;
pub(crate) mod vm;

use loom::sync::atomic::fence;
use loom::sync::atomic::Ordering::SeqCst;

/// A rule that the model breaks, for loom to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// A grace period is over at once.
    GracePeriod,
    /// What was taken out of the table is neither awaited nor freed.
    Leaked,
    /// `gpc->lock` of `shared_info` is not waited for.
    Gate,
    /// A sender is in the table before what is in it can be seen.
    PublishedWithoutOrder,
    /// A poller is on the list only when it sleeps, after it has looked.
    ListedWhenAsleep,
    /// A poller is counted only when it sleeps, after it has looked.
    CountedWhenAsleep,
    /// A poller is put on the list without a barrier.
    ListedWithoutBarrier,
    /// A bit of guest memory is set without a barrier.
    PendingWithoutBarrier,
    /// A vCPU is woken without a request for it to find.
    WokenWithoutRequest,
    /// What a vCPU takes of its notes takes those with it that came meanwhile.
    NotesClearedAsAWhole,
}

/// Does something fully ordered, as the kernel's atomic operations that return a value are.
pub(crate) fn fully_ordered<T>(operation: impl FnOnce() -> T) -> T {
    fence(SeqCst);
    let result = operation();
    fence(SeqCst);
    result
}
