// SPDX-License-Identifier: GPL-2.0

//! What is pure in the module, as an ordinary library: its files, compiled for the host, where
//! their own unit tests run and the tests of this crate.
//!
//! Public is what the document and the picture are made of; the rest has its visibility from the
//! module.

#[path = "../../../rust/abi/mod.rs"]
#[allow(dead_code, reason = "used by the module, and here by tests alone")]
mod abi;
pub mod examples;
mod livepatch;
pub mod sync;

#[cfg(test)]
mod abi_tests;
#[cfg(test)]
#[path = "../../../rust/kvm/bitops.rs"]
mod bitops;
#[cfg(test)]
mod bitops_tests;
#[cfg(test)]
mod callers_tests;
/// The examples in these files.
#[cfg(test)]
#[allow(dead_code, reason = "an example need not call what it shows")]
mod examples_of_files {
    include!(concat!(env!("OUT_DIR"), "/examples.rs"));
}
#[cfg(test)]
mod model;
#[cfg(test)]
mod order_tests;
#[cfg(test)]
mod props;
#[cfg(test)]
mod verify_tests;
