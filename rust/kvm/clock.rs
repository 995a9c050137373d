// SPDX-License-Identifier: GPL-2.0

//! The clocks of host and guest.

use super::{OwnVcpu, Vm};
use crate::{abi::pvclock::Scale, bindings, livepatch::symbols, object::field};

/// The guest's system time as KVM computes it, in nanoseconds.
pub(crate) fn kvmclock_ns(vm: Vm<'_>) -> u64 {
    // SAFETY: The VM is there. KVM reads its clock under a seqcount, and so in any context.
    unsafe { symbols::get_kvmclock_ns(vm.as_raw()) }
}

/// `CLOCK_MONOTONIC`, in nanoseconds.
pub(crate) fn monotonic_ns() -> i64 {
    // SAFETY: It may be asked for at any time.
    unsafe { bindings::ktime_get() }
}

/// A moment in `CLOCK_MONOTONIC`, and the TSC at that moment, or very soon after where the host
/// keeps time by something else.
pub(crate) fn monotonic_and_tsc() -> (i64, u64) {
    let (mut now, mut tsc) = (0, 0);
    // SAFETY: Both pointers are to integers that may be written.
    if !unsafe { symbols::kvm_get_monotonic_and_clockread(&mut now, &mut tsc) } {
        now = monotonic_ns();
        // SAFETY: The instruction is there wherever KVM is.
        tsc = unsafe { core::arch::x86_64::_rdtsc() };
    }
    (now, tsc)
}

impl OwnVcpu<'_> {
    /// Whether the guest's clock is a function of the TSC alone, the same on all vCPUs.
    pub(crate) fn has_master_clock(self) -> bool {
        // SAFETY: The helper looks at a feature bit, which stays as it is.
        let constant = unsafe { bindings::kvm_xen_rs_has_constant_tsc() };
        constant && field!(self.vm().object(), arch.use_master_clock).is_set()
    }

    /// Whether `scale` is what KVM has last told this vCPU, and not stale or the guest's own.
    pub(crate) fn is_current(self, scale: &Scale) -> bool {
        // They are the vCPU's own task's, as this is.
        let mul = field!(self.object(), arch.pvclock_tsc_mul);
        let shift = field!(self.object(), arch.pvclock_tsc_shift);
        scale.mul == mul.read_once() && scale.shift == shift.read_once()
    }

    /// The guest's TSC at the host's.
    pub(crate) fn guest_tsc(self, host_tsc: u64) -> u64 {
        // SAFETY: The vCPU is there. What KVM scales by is the vCPU's own task's, as this is.
        unsafe { symbols::kvm_read_l1_tsc(self.as_raw(), host_tsc) }
    }
}
