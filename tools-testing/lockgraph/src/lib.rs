// SPDX-License-Identifier: GPL-2.0

//! The lock order of the module, as it is declared in `rust/sync/`, for readers: the tables of
//! Documentation/locking.rst, and a picture of it beside what lockdep has seen.

pub mod besides;
pub mod compare;
pub mod declared;
pub mod doc;
pub mod lockdep;
pub mod neighbours;
pub mod picture;
pub mod reasons;
pub mod rules;
mod svg;
pub mod tables;
pub mod trusted;
