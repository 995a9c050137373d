// SPDX-License-Identifier: GPL-2.0
//! Hypercalls by which a guest gives up its CPU and sets its timer.

use super::Abi;

/// `__HYPERVISOR_set_timer_op`.
pub const SET_TIMER_OP: u64 = 15;
/// `__HYPERVISOR_vcpu_op`.
pub const VCPU_OP: u64 = 24;
/// `__HYPERVISOR_sched_op`.
pub const SCHED_OP: u64 = 29;

/// Command of [`SCHED_OP`]: let others run.
pub const SCHEDOP_YIELD: u64 = 0;
/// Command of [`SCHED_OP`] that KVM leaves to the VMM.
pub const SCHEDOP_SHUTDOWN: u64 = 2;
/// Command of [`SCHED_OP`]: wait for one of some ports.
pub const SCHEDOP_POLL: u64 = 3;

/// Command of [`VCPU_OP`]: set the timer; its argument points to the time.
pub const VCPUOP_SET_SINGLESHOT_TIMER: u64 = 8;
/// Command of [`VCPU_OP`]: stop the timer.
pub const VCPUOP_STOP_SINGLESHOT_TIMER: u64 = 9;

/// Xen's EINVAL in the result register.
pub const XEN_EINVAL: u64 = -22_i64 as u64;

/// struct sched_poll.
pub fn sched_poll(abi: Abi, ports: u64, number: u32, timeout: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    match abi {
        Abi::Bits32 => {
            bytes.extend_from_slice(&(ports as u32).to_le_bytes());
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        Abi::Bits64 => {
            bytes.extend_from_slice(&ports.to_le_bytes());
            bytes.extend_from_slice(&u64::from(number).to_le_bytes());
        }
    }
    bytes.extend_from_slice(&timeout.to_le_bytes());
    bytes
}

/// struct vcpu_set_singleshot_timer, without flags; 64-bit guests have padding.
pub fn singleshot_timer(abi: Abi, time: u64) -> Vec<u8> {
    let mut bytes = time.to_le_bytes().to_vec();
    bytes.resize(singleshot_timer_size(abi), 0);
    bytes
}

/// struct vcpu_set_singleshot_timer, with flags.
pub fn singleshot_timer_with_flags(abi: Abi, time: u64, flags: u32) -> Vec<u8> {
    let mut bytes = singleshot_timer(abi, time);
    bytes[8..12].copy_from_slice(&flags.to_le_bytes());
    bytes
}

/// Size of struct vcpu_set_singleshot_timer.
pub fn singleshot_timer_size(abi: Abi) -> usize {
    match abi {
        Abi::Bits32 => 12,
        Abi::Bits64 => 16,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_headers() {
        assert_eq!(sched_poll(Abi::Bits32, 1, 2, 3).len(), 16);
        assert_eq!(sched_poll(Abi::Bits64, 1, 2, 3).len(), 24);
        assert_eq!(singleshot_timer(Abi::Bits32, 9).len(), 12);
        assert_eq!(singleshot_timer(Abi::Bits64, 9).len(), 16);
    }
}
