// SPDX-License-Identifier: GPL-2.0
//! A vcpu_info structure seen through one of the two ABIs.

use std::mem::offset_of;

use vm_memory::{Bytes, VolatileSlice};

use super::layout::{VcpuInfo64, VCPU_INFO_SIZE};
use super::Abi;

const WITHIN: &str = "offset lies within vcpu_info";

// At the same place in both ABIs, which abi::layout's tests check.
const UPCALL_PENDING: usize = offset_of!(VcpuInfo64, evtchn_upcall_pending);
const UPCALL_MASK: usize = offset_of!(VcpuInfo64, evtchn_upcall_mask);
const TIME: usize = offset_of!(VcpuInfo64, time);

/// View of a vcpu_info, in guest memory or in a copy of it.
#[derive(Clone, Copy)]
pub struct VcpuInfo<'a> {
    mem: VolatileSlice<'a>,
    abi: Abi,
}

impl<'a> VcpuInfo<'a> {
    /// Views `mem`, which must be as long as a vcpu_info. Any alignment will do.
    pub fn new(mem: VolatileSlice<'a>, abi: Abi) -> Self {
        assert_eq!(mem.len(), VCPU_INFO_SIZE);
        Self { mem, abi }
    }

    /// evtchn_upcall_pending: 1 asks for an upcall.
    pub fn upcall_pending(&self) -> u8 {
        self.mem.read_obj(UPCALL_PENDING).expect(WITHIN)
    }

    /// Writes evtchn_upcall_pending.
    pub fn set_upcall_pending(&self, value: u8) {
        self.mem.write_obj(value, UPCALL_PENDING).expect(WITHIN);
    }

    /// Writes evtchn_upcall_mask.
    pub fn set_upcall_mask(&self, value: u8) {
        self.mem.write_obj(value, UPCALL_MASK).expect(WITHIN);
    }

    /// evtchn_pending_sel: a bit for each word of evtchn_pending to look at.
    pub fn pending_sel(&self) -> u64 {
        let at = self.abi.pending_sel_offset();
        match self.abi {
            Abi::Bits32 => self.mem.read_obj::<u32>(at).expect(WITHIN).into(),
            Abi::Bits64 => self.mem.read_obj::<u64>(at).expect(WITHIN),
        }
    }

    /// Writes evtchn_pending_sel; a 32-bit guest has its lower half only.
    pub fn set_pending_sel(&self, value: u64) {
        let at = self.abi.pending_sel_offset();
        match self.abi {
            Abi::Bits32 => self.mem.write_obj(value as u32, at).expect(WITHIN),
            Abi::Bits64 => self.mem.write_obj(value, at).expect(WITHIN),
        }
    }

    /// Does what the hypervisor does when an unmasked port becomes pending.
    pub fn raise(&self, port: u32) {
        self.set_pending_sel(self.pending_sel() | (1 << self.abi.selector(port)));
        self.set_upcall_pending(1);
    }

    /// Does what a guest does before it looks for pending ports.
    pub fn acknowledge(&self) {
        self.set_upcall_pending(0);
        self.set_pending_sel(0);
    }

    /// Name of what lies at `offset`, for messages.
    pub fn describe(abi: Abi, offset: usize) -> &'static str {
        let sel = abi.pending_sel_offset();
        let sel_end = sel + abi.word_bits() as usize / 8;
        match offset {
            UPCALL_PENDING => "evtchn_upcall_pending",
            UPCALL_MASK => "evtchn_upcall_mask",
            _ if (sel..sel_end).contains(&offset) => "evtchn_pending_sel",
            _ if Self::is_time(offset) => "time",
            _ => "arch or padding",
        }
    }

    /// Whether `offset` belongs to the clock, which KVM writes when a vCPU runs.
    pub fn is_time(offset: usize) -> bool {
        (TIME..VCPU_INFO_SIZE).contains(&offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raise_sets_the_selector_of_the_abi() {
        for (abi, port, bit) in [(Abi::Bits32, 1023, 31), (Abi::Bits64, 4095, 63)] {
            let mut bytes = [0_u8; VCPU_INFO_SIZE];
            let info = VcpuInfo::new(VolatileSlice::from(&mut bytes[..]), abi);
            info.raise(port);
            assert_eq!(info.pending_sel(), 1 << bit);
            assert_eq!(info.upcall_pending(), 1);
            assert_eq!(bytes[abi.pending_sel_offset() + bit / 8], 0x80);
            assert_eq!(bytes.iter().filter(|b| **b != 0).count(), 2);
        }
    }
}
