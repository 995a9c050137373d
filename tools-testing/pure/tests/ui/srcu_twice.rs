// SPDX-License-Identifier: GPL-2.0

//! A hypercall is inside `kvm->srcu` already: the type is the proof, nothing is entered again.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<InKvmRun>();
    enter::<KvmSrcu, _>(&mut cx);
}
