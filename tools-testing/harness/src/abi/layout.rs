// SPDX-License-Identifier: GPL-2.0
//! The structures a Xen guest shares with the hypervisor, as its headers lay
//! them out. 32-bit x86 aligns 64-bit integers to 4 bytes, hence the packing.

/// vcpu_info structures at the start of shared_info.
pub const LEGACY_VCPUS: usize = 32;

/// Size of vcpu_info, the same in both ABIs.
pub const VCPU_INFO_SIZE: usize = size_of::<VcpuInfo64>();

/// The guest's clock: how to scale a TSC value to nanoseconds.
#[repr(C, packed(4))]
#[derive(Clone, Copy)]
pub struct PvclockVcpuTimeInfo {
    pub version: u32,
    pub pad0: u32,
    pub tsc_timestamp: u64,
    pub system_time: u64,
    pub tsc_to_system_mul: u32,
    pub tsc_shift: i8,
    pub flags: u8,
    pub pad: [u8; 2],
}

/// Wall clock time of the moment at which the guest's clock was 0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct PvclockWallClock {
    pub version: u32,
    pub sec: u32,
    pub nsec: u32,
}

/// vcpu_info of a 32-bit guest.
#[repr(C, packed(4))]
#[derive(Clone, Copy)]
pub struct VcpuInfo32 {
    pub evtchn_upcall_pending: u8,
    pub evtchn_upcall_mask: u8,
    pub pad: u16,
    pub evtchn_pending_sel: u32,
    pub cr2: u32,
    pub arch_pad: [u32; 5],
    pub time: PvclockVcpuTimeInfo,
}

/// vcpu_info of a 64-bit guest.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct VcpuInfo64 {
    pub evtchn_upcall_pending: u8,
    pub evtchn_upcall_mask: u8,
    pub pad: [u8; 6],
    pub evtchn_pending_sel: u64,
    pub cr2: u64,
    pub arch_pad: u64,
    pub time: PvclockVcpuTimeInfo,
}

/// arch_shared_info of a 32-bit guest; it ends with the wall clock's upper half.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ArchSharedInfo32 {
    pub max_pfn: u32,
    pub pfn_to_mfn_frame_list_list: u32,
    pub nmi_reason: u32,
    pub p2m_cr3: u32,
    pub p2m_vaddr: u32,
    pub p2m_generation: u32,
    pub wc_sec_hi: u32,
}

/// arch_shared_info of a 64-bit guest.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ArchSharedInfo64 {
    pub max_pfn: u64,
    pub pfn_to_mfn_frame_list_list: u64,
    pub nmi_reason: u64,
    pub p2m_cr3: u64,
    pub p2m_vaddr: u64,
    pub p2m_generation: u64,
}

/// shared_info of a 32-bit guest.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SharedInfo32 {
    pub vcpu_info: [VcpuInfo32; LEGACY_VCPUS],
    pub evtchn_pending: [u32; 32],
    pub evtchn_mask: [u32; 32],
    pub wc: PvclockWallClock,
    pub arch: ArchSharedInfo32,
}

/// shared_info of a 64-bit guest.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SharedInfo64 {
    pub vcpu_info: [VcpuInfo64; LEGACY_VCPUS],
    pub evtchn_pending: [u64; 64],
    pub evtchn_mask: [u64; 64],
    pub wc: PvclockWallClock,
    pub wc_sec_hi: u32,
    pub arch: ArchSharedInfo64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    #[test]
    fn vcpu_info_is_64_bytes_with_the_clock_in_its_upper_half() {
        assert_eq!(size_of::<VcpuInfo32>(), 64);
        assert_eq!(size_of::<VcpuInfo64>(), 64);
        assert_eq!(offset_of!(VcpuInfo32, evtchn_upcall_pending), 0);
        assert_eq!(offset_of!(VcpuInfo64, evtchn_upcall_pending), 0);
        assert_eq!(offset_of!(VcpuInfo32, evtchn_upcall_mask), 1);
        assert_eq!(offset_of!(VcpuInfo64, evtchn_upcall_mask), 1);
        assert_eq!(offset_of!(VcpuInfo32, evtchn_pending_sel), 4);
        assert_eq!(offset_of!(VcpuInfo64, evtchn_pending_sel), 8);
        assert_eq!(offset_of!(VcpuInfo32, time), 32);
        assert_eq!(offset_of!(VcpuInfo64, time), 32);
        assert_eq!(size_of::<PvclockVcpuTimeInfo>(), 32);
    }

    #[test]
    fn shared_info_32() {
        assert_eq!(offset_of!(SharedInfo32, evtchn_pending), 0x800);
        assert_eq!(offset_of!(SharedInfo32, evtchn_mask), 0x880);
        assert_eq!(offset_of!(SharedInfo32, wc), 0x900);
        assert_eq!(offset_of!(SharedInfo32, arch.wc_sec_hi), 0x924);
    }

    #[test]
    fn shared_info_64() {
        assert_eq!(offset_of!(SharedInfo64, evtchn_pending), 0x800);
        assert_eq!(offset_of!(SharedInfo64, evtchn_mask), 0xa00);
        assert_eq!(offset_of!(SharedInfo64, wc), 0xc00);
        assert_eq!(offset_of!(SharedInfo64, wc_sec_hi), 0xc0c);
        assert_eq!(offset_of!(SharedInfo64, arch), 0xc10);
    }
}
