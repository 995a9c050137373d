// SPDX-License-Identifier: GPL-2.0

//! A refresh looks at the memslots.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<VmIoctl>();
    refresh(&mut cx);
}
