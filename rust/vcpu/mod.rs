// SPDX-License-Identifier: GPL-2.0

//! What a vCPU is told: events, its runstate, its timer.

#![forbid(unsafe_code)]

pub(crate) mod info;
pub(crate) mod runstate;
pub(crate) mod timer;
