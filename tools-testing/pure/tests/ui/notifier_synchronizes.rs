// SPDX-License-Identifier: GPL-2.0

//! A reader that refreshes a pfn cache waits until no invalidation is under way.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<Notifier>();
    synchronize(&mut cx);
}
