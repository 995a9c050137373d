// SPDX-License-Identifier: GPL-2.0

//! `crate::trace` for the module's files: tracepoints that are off.

use crate::kvm::Vm;
pub(crate) use kinds::{Delivered, Poll, Timer, SEVERAL};

#[path = "../../../rust/trace/kinds.rs"]
#[allow(dead_code, reason = "what is told is not looked at")]
mod kinds;

/// An argument of a tracepoint.
///
/// # Safety
///
/// As the module has it.
pub(crate) unsafe trait Argument {
    /// As C has it.
    type Raw;

    /// As C's function takes it.
    #[allow(dead_code, reason = "nothing is traced here")]
    fn into_raw(self) -> Self::Raw;
}

/// As the module has it.
pub(crate) fn deliver<'a>(_arguments: impl FnOnce() -> (Vm<'a>, u32, u32, Delivered, bool)) {}

/// As the module has it.
pub(crate) fn poll<'a>(_arguments: impl FnOnce() -> (Vm<'a>, u32, u32, Poll, u64)) {}

/// As the module has it.
pub(crate) fn timer<'a>(_arguments: impl FnOnce() -> (Vm<'a>, u32, u32, Timer, u64)) {}
