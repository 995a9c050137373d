// SPDX-License-Identifier: GPL-2.0

//! What a vCPU shares with Xen.
//!
//! Source: `struct vcpu_info` in `xen/interface/xen.h`.

use super::{
    layout::{Bits, Declared, Field, Structure, Words},
    WordSize,
};

/// `struct vcpu_info`: 64 bytes in both layouts, at any address that keeps it within a page.
pub(crate) struct VcpuInfo;

impl Declared for VcpuInfo {}
impl Structure for VcpuInfo {
    const SIZE: usize = 64;
    const ALIGN: usize = 1;
}

/// Not 0 when there are events for the vCPU to look at.
pub(crate) const EVTCHN_UPCALL_PENDING: Field<VcpuInfo, u8> = Field::at(0);

/// The clock of the vCPU: `struct pvclock_vcpu_time_info`, see `pvclock.rs`.
pub(crate) const TIME: Words<VcpuInfo, 4> = Words::at(32);

/// The words of the pending bitmap in which there are events for the vCPU, a bit each.
pub(crate) const fn evtchn_pending_sel(size: WordSize) -> Bits<VcpuInfo> {
    const BITS32: Bits<VcpuInfo> = Bits::at(4, 32);
    const BITS64: Bits<VcpuInfo> = Bits::at(8, 64);
    match size {
        WordSize::Bits32 => BITS32,
        WordSize::Bits64 => BITS64,
    }
}
