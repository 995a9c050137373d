// SPDX-License-Identifier: GPL-2.0

//! The lock order as types, and the locks in it.

pub(crate) mod context;
pub(crate) mod gpc;
pub(crate) mod order;
pub(crate) mod srcu;
pub(crate) mod weaken;
pub(crate) mod xen_lock;

pub(crate) use context::{
    Anywhere, Ctx, Held, InKvmSrcu, InVmMm, MayEnter, MaySleep, MayWaitForSrcu, Nothing, SetIrq,
    VmIoctl, Within,
};

pub(crate) use weaken::{InSection, MayRefresh};

/// An ioctl of a vCPU.
pub(crate) type VcpuIoctl = Within<order::VcpuMutex, VmIoctl>;
/// Inside `KVM_RUN`, outside of the guest.
pub(crate) type InKvmRun = Within<order::KvmSrcu, VcpuIoctl>;
/// The vCPU's task is scheduled out.
pub(crate) type SchedOut = Within<order::KvmSrcu, Anywhere>;
