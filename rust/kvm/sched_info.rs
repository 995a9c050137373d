// SPDX-License-Identifier: GPL-2.0

//! Whether the scheduler counts how long a task waits, which steal time is made of.

use crate::bindings;
use kernel::prelude::*;

/// Succeeds on a kernel with `CONFIG_SCHED_INFO`.
///
/// # Errors
///
/// `EOPNOTSUPP` on others.
pub(crate) fn required() -> Result {
    // SAFETY: The helper returns a constant.
    if unsafe { bindings::kvm_xen_rs_sched_info_on() } {
        Ok(())
    } else {
        Err(Error::from_errno(-(bindings::EOPNOTSUPP as i32)))
    }
}
