// SPDX-License-Identifier: GPL-2.0

//! To enter a level borrows the context outside of it, also where there is no guard.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<VmIoctl>();
    // SAFETY: This is never run.
    let mut inside = unsafe { cx.enter::<KvmSrcu>() };
    synchronize(&mut cx);
    try_read(&mut inside);
}
