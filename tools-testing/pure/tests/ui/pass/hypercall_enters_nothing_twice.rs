// SPDX-License-Identifier: GPL-2.0

//! A hypercall has the proof that it is in a read section.

#[path = "../support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<InKvmRun>();
    try_read(&mut cx);
    refresh(&mut cx);
    let sender = find(&cx);
    let _ = *sender;
}
