// SPDX-License-Identifier: GPL-2.0

//! Whether no task runs C's Xen code any more.
//!
//! A transition takes one task after the other out of C, and while it lasts both sides serve the
//! same VMs. What holds among functions of ours alone may be relied on when it is over.
//!
//! Source: Documentation/livepatch/callbacks.rst.

use super::{build_id, stragglers};
use crate::{bindings, kernels::smp_mb};
use kernel::{
    ffi::c_int,
    sync::atomic::{Atomic, Relaxed},
};

static IS_OVER: Atomic<bool> = Atomic::new(false);

/// Whether no task has been in one of C's functions that we replace since some moment before the
/// call. What the caller has written before, those will see that get there after it.
pub(crate) fn is_over() -> bool {
    // Against the full barrier in the switching of a task.
    smp_mb();
    IS_OVER.load(Relaxed)
}

/// The transition to the patch is about to begin, or KVM is being loaded. If that fails,
/// [`post_unpatch`] is called; if this fails, nothing is, and nothing has changed.
///
/// # Safety
///
/// As the livepatch core calls it, with the one object of the patch, which is a module.
#[cold]
pub(super) unsafe extern "C" fn pre_patch(object: *mut bindings::klp_object) -> c_int {
    // SAFETY: By the safety requirement.
    if let Err(errno) = unsafe { build_id::check(object) } {
        return errno;
    }
    stragglers::begin();
    0
}

/// The transition to the patch has ended, or KVM has only now been loaded.
#[cold]
pub(super) extern "C" fn post_patch(_object: *mut bindings::klp_object) {
    IS_OVER.store(true, Relaxed);
    stragglers::end();
}

/// The transition back is about to begin, or KVM is being removed. Not called when a transition to
/// the patch is reversed.
#[cold]
pub(super) extern "C" fn pre_unpatch(_object: *mut bindings::klp_object) {
    IS_OVER.store(false, Relaxed);
    stragglers::begin();
}

/// The transition back has ended, by force maybe, and only now may the module or KVM go.
#[cold]
pub(super) extern "C" fn post_unpatch(_object: *mut bindings::klp_object) {
    stragglers::end();
}
