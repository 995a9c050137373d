// SPDX-License-Identifier: GPL-2.0
//! What the module's tracepoints count: an instance of tracefs of our own, its histograms, and
//! sums of these by VM and vCPU. Documentation/tracing.rst has the tracepoints.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod counts;
pub mod events;
pub mod hist;
pub mod names;
pub mod plain;
pub mod screen;
pub mod side;
pub mod tracefs;
