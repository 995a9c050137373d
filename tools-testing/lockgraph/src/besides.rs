// SPDX-License-Identifier: GPL-2.0

//! What C does besides the declared order, and may.

use crate::declared::Edge;

/// An edge that lockdep sees from C, and that no Rust has.
pub struct Besides {
    /// The edge.
    pub edge: Edge,
    /// Where C has it.
    pub place: &'static str,
    /// Why it is not declared.
    pub why: &'static str,
}

/// Each enters a read-side critical section, which never waits, so that none can be part of a
/// deadlock.
pub const BESIDES: &[Besides] = &[
    Besides {
        edge: Edge::new("XenLock", "KvmSrcu"),
        place: "`kvm_xen_vcpu_set_attr()`, `kvm_xen_hvm_set_attr()`",
        why: "C enters the section inside the mutex here, and takes the mutex inside the section \
              elsewhere. Rust has one order.",
    },
    Besides {
        edge: Edge::new("KvmSrcu", "IrqSrcu"),
        place: "`kvm_set_irq()` and `kvm_notify_acked_irq()` in `KVM_RUN`",
        why: "This module never enters `kvm->irq_srcu`; it is only called inside of it.",
    },
    Besides {
        edge: Edge::new("Invalidation", "KvmSrcu"),
        place: "`kvm_handle_hva_range()`",
        why: "This module has no MMU notifier.",
    },
];
