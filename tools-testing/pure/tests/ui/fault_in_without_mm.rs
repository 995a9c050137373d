// SPDX-License-Identifier: GPL-2.0

//! The irqfd workqueue has no address space until it borrows that of the VM.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<SetIrq>();
    let mut section = enter::<KvmSrcu, _>(&mut cx);
    refresh(section.cx());
}
