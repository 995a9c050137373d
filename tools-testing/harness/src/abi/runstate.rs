// SPDX-License-Identifier: GPL-2.0
//! struct vcpu_runstate_info, which tells a guest how its vCPU spent its time.

use super::Abi;

/// The vCPU runs.
pub const RUNNING: u32 = 0;
/// It would run, had it a CPU.
pub const RUNNABLE: u32 = 1;
/// It waits for an event.
pub const BLOCKED: u32 = 2;
/// It is not up.
pub const OFFLINE: u32 = 3;

/// XEN_RUNSTATE_UPDATE: set in the entry time while the hypervisor writes.
pub const UPDATE: u64 = 1 << 63;

/// A runstate, from guest memory or from KVM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Runstate {
    /// State now.
    pub state: u32,
    /// Since when, by the guest's clock.
    pub entry_time: u64,
    /// Nanoseconds in each state, up to the entry time.
    pub times: [u64; 4],
}

impl Runstate {
    /// All times together.
    pub fn sum(&self) -> u64 {
        self.times
            .iter()
            .fold(0, |sum, time| sum.wrapping_add(*time))
    }

    /// Reads it as a guest of this word size has it.
    pub fn parse(abi: Abi, bytes: &[u8]) -> Self {
        let word = |at: usize| {
            let bytes = &bytes[abi.runstate_entry_offset() + 8 * at..][..8];
            u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
        };
        Self {
            state: u32::from_le_bytes(bytes[..4].try_into().expect("four bytes")),
            entry_time: word(0),
            times: [word(1), word(2), word(3), word(4)],
        }
    }
}

impl Abi {
    /// Offset of state_entry_time: 32-bit x86 aligns it to 4 bytes.
    pub fn runstate_entry_offset(self) -> usize {
        match self {
            Abi::Bits32 => 4,
            Abi::Bits64 => 8,
        }
    }

    /// Size of struct vcpu_runstate_info.
    pub fn runstate_size(self) -> usize {
        self.runstate_entry_offset() + 5 * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_headers() {
        assert_eq!(Abi::Bits32.runstate_size(), 0x2c);
        assert_eq!(Abi::Bits64.runstate_size(), 0x30);
    }

    #[test]
    fn times_follow_the_entry_time() {
        let bytes: Vec<u8> = (0..48).collect();
        let runstate = Runstate::parse(Abi::Bits64, &bytes);
        assert_eq!(runstate.state, 0x0302_0100);
        assert_eq!(runstate.entry_time, 0x0f0e_0d0c_0b0a_0908);
        assert_eq!(runstate.times[3], 0x2f2e_2d2c_2b2a_2928);
    }
}
