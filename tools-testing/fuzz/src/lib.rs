// SPDX-License-Identifier: GPL-2.0
//! Tests KVM's Xen emulation in C against ours in Rust: the same sequences of
//! what a VMM and its guest do, with the livepatch off and on, must show the
//! same.

pub mod alarm;
pub mod exec;
pub mod flicker;
pub mod generate;
pub mod memory;
pub mod model;
pub mod observe;
pub mod op;
pub mod pool;
pub mod priority;
pub mod rules;
pub mod session;
pub mod shared;
pub mod shrink;
pub mod trace;
pub mod under_rt;
pub mod vcpu;
