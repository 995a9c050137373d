// SPDX-License-Identifier: GPL-2.0

//! `SCHEDOP_poll` leaves the read section for as long as it sleeps.

#[path = "../support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<InKvmRun>();
    gfp_kernel(&mut cx);
    // SAFETY: This is never run.
    halt(&mut unsafe { cx.leave() });
    try_read(&mut cx);
}
