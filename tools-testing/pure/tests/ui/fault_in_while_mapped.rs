// SPDX-License-Identifier: GPL-2.0

//! Nor while another page is mapped.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<InKvmRun>();
    let mut mapping = enter::<GpcLock, _>(&mut cx);
    refresh(mapping.cx());
}
