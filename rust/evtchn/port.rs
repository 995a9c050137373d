// SPDX-License-Identifier: GPL-2.0

//! Ports and where they are bound.

use crate::{abi::WordSize, kvm::Vcpu};

/// A port that a guest of the word size `size` has.
///
/// # Invariants
///
/// `nr` is below the number of ports of `size`. It may be 0, which Xen uses for no channel, but
/// has a bit for.
#[derive(Clone, Copy)]
pub(crate) struct Port {
    nr: u32,
    size: WordSize,
}

impl Port {
    /// The port `nr`, if the guest has it.
    #[inline(always)]
    pub(crate) const fn new(nr: u32, size: WordSize) -> Option<Self> {
        if nr < size.nr_ports() {
            // INVARIANT: Checked just above.
            Some(Self { nr, size })
        } else {
            None
        }
    }

    /// Its number.
    #[inline(always)]
    pub(crate) const fn nr(self) -> u32 {
        self.nr
    }

    /// The word size of the guest that has it.
    #[inline(always)]
    pub(crate) const fn word_size(self) -> WordSize {
        self.size
    }

    /// The word of the bitmaps that it is in.
    #[inline(always)]
    pub(crate) const fn word(self) -> u32 {
        self.size.word_of(self.nr)
    }
}

/// The vCPU that a port is bound to: two words, as KVM has them.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    vcpu_id: u32,
    vcpu_idx: i32,
}

impl Target {
    /// The vCPU with the VMM's number `vcpu_id` and KVM's number `vcpu_idx`, below 0 if that is not
    /// known.
    #[inline]
    pub(crate) const fn new(vcpu_id: u32, vcpu_idx: i32) -> Self {
        Self { vcpu_id, vcpu_idx }
    }

    /// The vCPU itself.
    #[inline]
    pub(crate) fn of(vcpu: Vcpu<'_>) -> Self {
        Self::new(vcpu.id(), vcpu.index() as i32)
    }

    /// The vCPU with the VMM's number `vcpu_id`. There need not be such a vCPU, or not yet.
    #[inline]
    pub(crate) const fn by_id(vcpu_id: u32) -> Self {
        Self::new(vcpu_id, -1)
    }

    /// The number that the VMM gave it.
    #[inline]
    pub(crate) const fn id(self) -> u32 {
        self.vcpu_id
    }

    /// The number that KVM gave it, when known.
    #[inline]
    pub(crate) const fn index(self) -> Option<u32> {
        if self.vcpu_idx < 0 {
            None
        } else {
            Some(self.vcpu_idx as u32)
        }
    }

    /// As [`index`](Self::index), but below 0 when not known.
    #[inline]
    pub(crate) const fn raw_index(self) -> i32 {
        self.vcpu_idx
    }
}
