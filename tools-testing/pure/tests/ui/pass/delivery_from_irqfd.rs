// SPDX-License-Identifier: GPL-2.0

//! At once and without waiting where the irqfd is woken; on the workqueue with nothing held, and
//! with the address space of the VM when a page has to come.

#[path = "../support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<Anywhere>();
    let mut section = enter::<KvmSrcu, _>(&mut cx);
    try_read(section.cx());
    kick(section.cx());

    let mut cx = assert::<SetIrq>();
    let mut mm = enter::<VmMm, _>(&mut cx);
    let mut section = enter::<KvmSrcu, _>(mm.cx());
    refresh(section.cx());
}
