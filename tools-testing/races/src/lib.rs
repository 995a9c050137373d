// SPDX-License-Identifier: GPL-2.0

//! The module's delivery rules under loom: each test runs in all interleavings of its threads, and
//! with all values that the memory model lets them see.
//!
//! What is tested are the module's own files: `rust/evtchn`, `rust/vcpu/info.rs`,
//! `rust/vcpu/timer.rs`, `rust/sync/retired.rs`. They are safe code on `crate::kvm` and `crate::sync`, which here are a
//! model: [`model`] has what it keeps of KVM and what it leaves out. The contexts and the lock
//! order are the module's, too.
//!
//! A model could be so wrong that nothing ever fails. So for each rule there is a test in which
//! the model breaks it ([`model::Broken`]), and loom must find that.

#![cfg_attr(
    not(test),
    allow(dead_code, unused_imports, reason = "all this is for the tests")
)]

// The module's files say `kernel::ffi`.
extern crate self as kernel;

/// The types of C.
pub mod ffi {
    /// `int`.
    #[allow(non_camel_case_types, reason = "as in C")]
    pub type c_int = i32;
}

#[path = "../../../rust/abi/mod.rs"]
#[allow(
    dead_code,
    reason = "used by the module, and here by some files of it alone"
)]
mod abi;
mod bindings;
#[path = "../../../rust/evtchn/mod.rs"]
#[allow(dead_code, reason = "used by the module, and here by the tests alone")]
mod evtchn;
mod kvm;
mod livepatch;
mod model;
pub mod prelude;
mod sync;
mod trace;
#[allow(dead_code, reason = "used by the module, and here by the tests alone")]
mod vcpu;

#[cfg(test)]
mod tests;
