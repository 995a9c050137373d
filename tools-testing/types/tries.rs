// SPDX-License-Identifier: GPL-2.0

//! Where a lock is only tried whose release may wake, compiled as a part of the module itself: refused
//! under `PREEMPT_RT`, at the lines with a mark, and allowed elsewhere.

#![forbid(unsafe_code)]
#![allow(dead_code, unused, reason = "nothing of it runs")]

use crate::{kvm::Vm, sync::*};

/// The release wakes a task: not with a run queue locked.
fn sched_out_tries_gpc_lock(mut cx: Ctx<'_, SchedOut>, vm: Vm<'_>) {
    vm.shared_info().try_read(&mut cx); //~ may not try a lock of KVM's
}

/// The release switches interrupts on: not in a hard one.
fn timer_tries_gpc_lock(mut cx: Ctx<'_, TimerHardIrq>, vm: Vm<'_>) {
    vm.shared_info().try_read(&mut vm.srcu().read(&mut cx).cx()); //~ may not try a lock of KVM's
}

/// Where nothing is known of the caller, interrupts may be off.
fn tried_gpc_lock_anywhere(mut cx: Ctx<'_, Anywhere>, vm: Vm<'_>) {
    vm.shared_info().try_read(&mut vm.srcu().read(&mut cx).cx()); //~ may not try a lock of KVM's
}
