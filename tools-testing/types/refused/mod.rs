// SPDX-License-Identifier: GPL-2.0

//! Safe code against the module's rules, compiled as a part of the module itself. Each line with a
//! mark is to be refused, with the words after the mark; all others are to compile.

#![forbid(unsafe_code)]
#![allow(dead_code, unused, reason = "nothing of it runs")]

mod evidence;
mod order;
mod ownership;

use crate::sync::{order::Level, Ctx, MayEnter};

/// Enters a level that this module never enters.
fn enter<L: Level, H: MayEnter<L>>(_cx: &mut Ctx<'_, H>) {}
