// SPDX-License-Identifier: GPL-2.0

//! `SCHEDOP_poll` in C: a memslot update beside it hangs until the guest is woken.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<InKvmRun>();
    halt(&mut cx);
}
