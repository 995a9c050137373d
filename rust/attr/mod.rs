// SPDX-License-Identifier: GPL-2.0

//! Attributes that the VMM sets and gets.

#![forbid(unsafe_code)]

pub(crate) mod config;
pub(crate) mod shared_info;
pub(crate) mod vcpu;
pub(crate) mod vm;

/// The vectors below this one are the CPU's own exceptions.
const FIRST_EXTERNAL_VECTOR: u8 = 0x10;
