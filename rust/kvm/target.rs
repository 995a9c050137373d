// SPDX-License-Identifier: GPL-2.0

//! Where ports are bound.

use super::Vcpu;

/// The vCPU that a port is bound to: two words, as KVM has them.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    vcpu_id: u32,
    vcpu_idx: i32,
}

impl Target {
    /// The vCPU with the VMM's number `vcpu_id` and KVM's number `vcpu_idx`, below 0 if that is not
    /// known.
    pub(crate) const fn new(vcpu_id: u32, vcpu_idx: i32) -> Self {
        Self { vcpu_id, vcpu_idx }
    }

    /// The vCPU itself.
    pub(crate) fn of(vcpu: Vcpu<'_>) -> Self {
        Self::new(vcpu.id(), vcpu.index() as i32)
    }

    /// The vCPU with the VMM's number `vcpu_id`. There need not be such a vCPU, or not yet.
    pub(crate) const fn by_id(vcpu_id: u32) -> Self {
        Self::new(vcpu_id, -1)
    }

    /// The number that the VMM gave it.
    pub(crate) const fn id(self) -> u32 {
        self.vcpu_id
    }

    /// The number that KVM gave it, when known.
    pub(crate) const fn index(self) -> Option<u32> {
        if self.vcpu_idx < 0 {
            None
        } else {
            Some(self.vcpu_idx as u32)
        }
    }

    /// As [`index`](Self::index), but below 0 when not known.
    pub(crate) const fn raw_index(self) -> i32 {
        self.vcpu_idx
    }
}
