// SPDX-License-Identifier: GPL-2.0

//! Attributes that the VMM sets and gets.

#![forbid(unsafe_code)]

pub(crate) mod config;
pub(crate) mod shared_info;
pub(crate) mod vm;
