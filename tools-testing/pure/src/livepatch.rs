// SPDX-License-Identifier: GPL-2.0

//! What is pure of taking over.

#[path = "../../../rust/livepatch/notes.rs"]
#[allow(dead_code, reason = "used by the module, and here by its own tests")]
pub(crate) mod notes;
