// SPDX-License-Identifier: GPL-2.0

//! A context is asserted by unsafe code alone.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let _cx: Ctx<'_, InKvmRun> = Ctx::assert();
}
