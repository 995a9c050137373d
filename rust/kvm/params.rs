// SPDX-License-Identifier: GPL-2.0

//! The module's parameters, as questions.

use crate::kernels::param;

/// Whether vCPUs that a transition waits for are to be interrupted before livepatch does it.
pub(crate) fn signals_vcpus() -> bool {
    param!(signal_vcpus) != 0
}

/// Whether the timeout of `SCHEDOP_poll` is a moment of system time, as Xen has it, and not a span
/// from now, as KVM has always had it.
pub(crate) fn poll_timeout_is_absolute() -> bool {
    param!(xen_poll_timeout) != 0
}
