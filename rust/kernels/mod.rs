// SPDX-License-Identifier: GPL-2.0

//! In what the kernels differ that this tree is for.
//!
//! The names are from `differences` beside this file, which finds them in the source of the kernel
//! that is built for. Nothing elsewhere asks for one, but sync/srcu/call.rs for what no kernel has
//! yet: to drop a kernel is to drop lines there and here. Documentation/kernels.rst has each with its
//! commit and its test.

use crate::{abi::hypercall::XEN_ID_UNSET, bindings::hrtimer_restart};
use kernel::{sync::barrier, ThisModule};

/// `smp_mb()`: accesses before it and after it are in order for other CPUs.
pub(crate) fn smp_mb() {
    #[cfg(kernel_smp_mb_takes_ordering)]
    barrier::smp_mb(barrier::Full);
    #[cfg(not(kernel_smp_mb_takes_ordering))]
    barrier::smp_mb();
}

/// The value of a module's parameter.
macro_rules! param {
    ($name:ident) => {{
        #[cfg(kernel_param_by_value)]
        let value = crate::module_parameters::$name.value();
        #[cfg(not(kernel_param_by_value))]
        let value = *crate::module_parameters::$name.value();
        value
    }};
}
pub(crate) use param;

/// This module.
pub(crate) fn this_module() -> &'static ThisModule {
    #[cfg(kernel_this_module_in_metadata)]
    return kernel::module::this_module::<crate::LocalModule>();
    #[cfg(not(kernel_this_module_in_metadata))]
    return &crate::THIS_MODULE;
}

/// Whether a `vcpu_info` may be at this address, or that is `ENXIO`.
pub(crate) const fn vcpu_info_may_be_at(address: u64) -> bool {
    !cfg!(xen_vcpu_info_aligned) || address % 4 == 0
}

/// The number that the guest knows a vCPU by before the VMM has set one.
pub(crate) const fn initial_xen_id(vcpu_idx: u32) -> u32 {
    if cfg!(xen_vcpu_id_unset) {
        XEN_ID_UNSET
    } else {
        vcpu_idx
    }
}

/// What a callback of an hrtimer returns that is done.
#[cfg(kernel_hrtimer_restart_type)]
pub(crate) const HRTIMER_NORESTART: hrtimer_restart = hrtimer_restart::HRTIMER_NORESTART;
/// What a callback of an hrtimer returns that is done.
#[cfg(not(kernel_hrtimer_restart_type))]
pub(crate) const HRTIMER_NORESTART: hrtimer_restart =
    crate::bindings::hrtimer_restart_HRTIMER_NORESTART;
