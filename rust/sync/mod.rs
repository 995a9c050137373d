// SPDX-License-Identifier: GPL-2.0

//! The lock order as types, and the locks in it.

pub(crate) mod context;
pub(crate) mod gpc;
pub(crate) mod order;
pub(crate) mod srcu;
pub(crate) mod xen_lock;

pub(crate) use context::{
    Anywhere, Ctx, InKvmSrcu, InVmMm, MayEnter, MaySleep, MayWaitForSrcu, SetIrq, VmIoctl, Within,
};
