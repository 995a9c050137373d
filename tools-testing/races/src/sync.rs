// SPDX-License-Identifier: GPL-2.0

//! The lock order and the contexts, which are the module's; what enters them is the model's.

#[path = "../../../rust/sync/callers.rs"]
#[allow(
    dead_code,
    reason = "used by the module, and here by some files of it alone"
)]
pub(crate) mod callers;
#[path = "../../../rust/sync/context.rs"]
#[allow(
    dead_code,
    reason = "used by the module, and here by some files of it alone"
)]
pub(crate) mod context;
#[path = "../../../rust/sync/order.rs"]
#[allow(
    dead_code,
    reason = "used by the module, and here by some files of it alone"
)]
pub(crate) mod order;
#[path = "../../../rust/sync/retired.rs"]
pub(crate) mod retired;
#[path = "../../../rust/sync/weaken.rs"]
#[allow(
    dead_code,
    reason = "used by the module, and here by some files of it alone"
)]
pub(crate) mod weaken;

pub(crate) mod barrier {
    /// As the module has it.
    pub(crate) fn smp_rmb() {
        loom::sync::atomic::fence(loom::sync::atomic::Ordering::Acquire);
    }
}

pub(crate) mod srcu {
    pub(crate) use crate::model::srcu::Callback;

    /// As the module has it.
    ///
    /// # Safety
    ///
    /// As there.
    pub(crate) unsafe trait DropAnywhere: Send + 'static {}
}

pub(crate) mod vm_srcu {
    pub(crate) use crate::model::srcu::OfVm;
}

pub(crate) mod gpc {
    pub(crate) use crate::model::memory::Mapping;
}

pub(crate) use {callers::*, context::*, weaken::*};
