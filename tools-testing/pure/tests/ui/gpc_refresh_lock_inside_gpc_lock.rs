// SPDX-License-Identifier: GPL-2.0

//! The holder of `refresh_lock` waits for `gpc->lock`.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<InKvmRun>();
    let mut mapping = enter::<GpcLock, _>(&mut cx);
    enter::<GpcRefreshLock, _>(mapping.cx());
}
