// SPDX-License-Identifier: GPL-2.0
//! What Xen promises to a guest: layouts and numbers, for 32-bit and for
//! 64-bit guests. Expected values of the cases come from here.

pub mod hypercall;
pub mod layout;
pub mod runstate;
pub mod sched;
mod shared_info;
mod vcpu_info;

pub use hypercall::status;
pub use shared_info::{SharedInfo, WallClock};
pub use vcpu_info::VcpuInfo;

use std::mem::offset_of;

use layout::{SharedInfo32, SharedInfo64, VcpuInfo32, VcpuInfo64};

/// Size of a guest page.
pub const PAGE_SIZE: usize = 4096;

/// The word size of the guest; it decides the layout of shared_info.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abi {
    /// 32-bit words, 1024 ports.
    Bits32,
    /// 64-bit words, 4096 ports.
    Bits64,
}

impl Abi {
    /// Both, in the order in which cases run.
    pub const ALL: [Abi; 2] = [Abi::Bits32, Abi::Bits64];

    /// The last part of a case's name.
    pub fn name(self) -> &'static str {
        match self {
            Abi::Bits32 => "32bit",
            Abi::Bits64 => "64bit",
        }
    }

    /// Value of KVM_XEN_ATTR_TYPE_LONG_MODE.
    pub fn long_mode(self) -> u8 {
        (self == Abi::Bits64).into()
    }

    /// The other word size.
    pub fn other(self) -> Abi {
        match self {
            Abi::Bits32 => Abi::Bits64,
            Abi::Bits64 => Abi::Bits32,
        }
    }

    /// Bits in a word of evtchn_pending and evtchn_mask; also their number of words.
    pub fn word_bits(self) -> u32 {
        match self {
            Abi::Bits32 => u32::BITS,
            Abi::Bits64 => u64::BITS,
        }
    }

    /// Number of ports of the 2-level ABI; the highest port is one less.
    pub fn ports(self) -> u32 {
        self.word_bits() * self.word_bits()
    }

    /// Bit of evtchn_pending_sel that stands for `port`.
    pub fn selector(self, port: u32) -> u32 {
        port / self.word_bits()
    }

    /// Offset of evtchn_pending in shared_info.
    pub fn pending_offset(self) -> usize {
        match self {
            Abi::Bits32 => offset_of!(SharedInfo32, evtchn_pending),
            Abi::Bits64 => offset_of!(SharedInfo64, evtchn_pending),
        }
    }

    /// Offset of evtchn_mask in shared_info.
    pub fn mask_offset(self) -> usize {
        match self {
            Abi::Bits32 => offset_of!(SharedInfo32, evtchn_mask),
            Abi::Bits64 => offset_of!(SharedInfo64, evtchn_mask),
        }
    }

    /// Offset of the wall clock in shared_info.
    pub fn wc_offset(self) -> usize {
        match self {
            Abi::Bits32 => offset_of!(SharedInfo32, wc),
            Abi::Bits64 => offset_of!(SharedInfo64, wc),
        }
    }

    /// Offset of the upper half of the wall clock's seconds in shared_info.
    pub fn wc_sec_hi_offset(self) -> usize {
        match self {
            Abi::Bits32 => offset_of!(SharedInfo32, arch.wc_sec_hi),
            Abi::Bits64 => offset_of!(SharedInfo64, wc_sec_hi),
        }
    }

    /// Offset of evtchn_pending_sel in vcpu_info.
    pub fn pending_sel_offset(self) -> usize {
        match self {
            Abi::Bits32 => offset_of!(VcpuInfo32, evtchn_pending_sel),
            Abi::Bits64 => offset_of!(VcpuInfo64, evtchn_pending_sel),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_selectors() {
        assert_eq!(Abi::Bits32.ports(), 1024);
        assert_eq!(Abi::Bits64.ports(), 4096);
        assert_eq!(Abi::Bits32.selector(1023), 31);
        assert_eq!(Abi::Bits32.selector(31), 0);
        assert_eq!(Abi::Bits64.selector(4095), 63);
        assert_eq!(Abi::Bits64.selector(64), 1);
    }
}
