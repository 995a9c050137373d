// SPDX-License-Identifier: GPL-2.0

//! The lock order as types, and the locks in it.

pub(crate) mod barrier;
pub(crate) mod context;
pub(crate) mod current;
pub(crate) mod gpc;
pub(crate) mod interrupts;
pub(crate) mod order;
pub(crate) mod retired;
pub(crate) mod srcu;
pub(crate) mod verify;
pub(crate) mod vm_srcu;
pub(crate) mod weaken;
pub(crate) mod xen_lock;

pub(crate) use context::{
    Anywhere, Ctx, Destruction, Held, InKvmRun, InKvmSrcu, InVmMm, MayEnter, MaySleep, MayTryLock,
    MayWaitForGuest, MayWaitForSrcu, MayWake, SchedOut, SetIrq, TimerHardIrq, TimerSoftirq,
    VcpuIoctl, VmIoctl, Within,
};
pub(crate) use weaken::{InSection, MayDeliver, MayRefresh};
