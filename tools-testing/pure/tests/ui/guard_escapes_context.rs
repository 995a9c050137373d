// SPDX-License-Identifier: GPL-2.0

//! A guard can not outlive the context that it was taken in.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let _guard = {
        let mut cx = assert::<VmIoctl>();
        enter::<XenLock, _>(&mut cx)
    };
}
