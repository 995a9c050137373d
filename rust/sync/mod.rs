// SPDX-License-Identifier: GPL-2.0

//! The lock order as types, and the locks in it.

pub(crate) mod barrier;
pub(crate) mod callers;
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

pub(crate) use callers::{
    Anywhere, Destruction, InKvmRun, SchedOut, SetIrq, TimerHardIrq, TimerSoftirq, VcpuIoctl,
    VmIoctl,
};
pub(crate) use context::{
    Ctx, Held, InKvmSrcu, InVmMm, MayEnter, MaySleep, MayTryLock, MayWaitForGuest, MayWaitForSrcu,
    MayWake, Within,
};
pub(crate) use weaken::{InSection, MayDeliver, MayRefresh};
