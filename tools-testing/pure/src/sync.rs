// SPDX-License-Identifier: GPL-2.0

//! The lock order and the contexts.

#[path = "../../../rust/sync/callers.rs"]
#[allow(dead_code, reason = "used by the module, and here by tests alone")]
pub mod callers;
#[path = "../../../rust/sync/context.rs"]
#[allow(dead_code, reason = "used by the module, and here by tests alone")]
pub mod context;
#[path = "../../../rust/sync/order.rs"]
pub mod order;
#[path = "../../../rust/sync/verify.rs"]
#[allow(dead_code, reason = "used by the module, and here by tests alone")]
pub(crate) mod verify;
#[path = "../../../rust/sync/weaken.rs"]
#[allow(dead_code, reason = "used by the module, and here by tests alone")]
pub(crate) mod weaken;

// What the module's files take from here, there.
#[allow(unused_imports, reason = "each file takes some")]
pub(crate) use {callers::*, context::*, weaken::*};
