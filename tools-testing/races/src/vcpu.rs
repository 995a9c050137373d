// SPDX-License-Identifier: GPL-2.0

//! The module's files on what a vCPU is told.

#[path = "../../../rust/vcpu/info.rs"]
pub(crate) mod info;
#[path = "../../../rust/vcpu/timer.rs"]
pub(crate) mod timer;
