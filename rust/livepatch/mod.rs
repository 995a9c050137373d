// SPDX-License-Identifier: GPL-2.0

//! Livepatching from Rust: what is replaced, and the way to what is not exported.

mod build_id;
pub(crate) mod notes;
pub(crate) mod patch;
mod stragglers;
pub(crate) mod symbols;
pub(crate) mod transition;
