// SPDX-License-Identifier: GPL-2.0

//! Event channels of the 2-level ABI.

#![forbid(unsafe_code)]

pub(crate) mod deliver;
pub(crate) mod poll;
pub(crate) mod port;
pub(crate) mod ports;
pub(crate) mod route;
pub(crate) mod send;
