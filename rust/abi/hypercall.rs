// SPDX-License-Identifier: GPL-2.0

//! Numbers and structures of the hypercalls that are handled here.
//!
//! Source: `xen/interface/{xen,version,event_channel,sched,vcpu}.h`.

use super::WordSize;

/// Hypercalls (`__HYPERVISOR_*`).
pub(crate) mod number {
    pub(crate) const SET_TIMER_OP: u64 = 15;
    pub(crate) const XEN_VERSION: u64 = 17;
    pub(crate) const VCPU_OP: u64 = 24;
    pub(crate) const SCHED_OP: u64 = 29;
    pub(crate) const EVENT_CHANNEL_OP: u64 = 32;
}

/// `XENVER_version`: asks for the version of Xen.
pub(crate) const XENVER_VERSION: u64 = 0;

/// `EVTCHNOP_send`: sends an event through a port.
pub(crate) const EVTCHNOP_SEND: u64 = 4;

/// `SCHEDOP_yield`: gives up the CPU for now.
pub(crate) const SCHEDOP_YIELD: u32 = 0;
/// `SCHEDOP_poll`: waits for one of some ports.
pub(crate) const SCHEDOP_POLL: u32 = 3;

/// `VCPUOP_set_singleshot_timer`: sets the vCPU's timer.
pub(crate) const VCPUOP_SET_SINGLESHOT_TIMER: u32 = 8;
/// `VCPUOP_stop_singleshot_timer`: stops it.
pub(crate) const VCPUOP_STOP_SINGLESHOT_TIMER: u32 = 9;

/// `XEN_VCPU_ID_INVALID`: the number of a vCPU that the VMM has given none.
pub(crate) const XEN_ID_UNSET: u32 = u32::MAX;

/// The most ports that can be polled for at once. Xen has the same limit.
pub(crate) const MAX_POLL_PORTS: usize = 128;

/// `struct sched_poll`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SchedPoll {
    /// The guest's address of the ports.
    pub(crate) ports: u64,
    /// How many there are.
    pub(crate) nr_ports: u32,
    /// In nanoseconds; 0 for no limit.
    pub(crate) timeout: u64,
}

impl SchedPoll {
    /// Its size in bytes, at most [`SchedPoll::MAX_SIZE`].
    pub(crate) const fn size(size: WordSize) -> usize {
        match size {
            WordSize::Bits32 => 16,
            WordSize::Bits64 => Self::MAX_SIZE,
        }
    }

    /// The larger of its sizes.
    pub(crate) const MAX_SIZE: usize = 24;

    /// Reads the bytes of it, of which a 32-bit guest has fewer.
    pub(crate) fn from_bytes(bytes: &[u8; Self::MAX_SIZE], size: WordSize) -> Self {
        let u32_at = |at: usize| {
            let mut word = [0; 4];
            for (i, byte) in word.iter_mut().enumerate() {
                *byte = bytes.get(at + i).copied().unwrap_or(0);
            }
            u32::from_le_bytes(word)
        };
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        match size {
            WordSize::Bits32 => Self {
                ports: u32_at(0).into(),
                nr_ports: u32_at(4),
                timeout: u64_at(8),
            },
            WordSize::Bits64 => Self {
                ports: u64_at(0),
                nr_ports: u32_at(8),
                timeout: u64_at(16),
            },
        }
    }
}

/// The bytes of `struct vcpu_set_singleshot_timer`. All are read, so that a structure that is not
/// all there faults, but only the timeout at the start is used.
pub(crate) const fn singleshot_timer_size(size: WordSize) -> usize {
    match size {
        WordSize::Bits32 => 12,
        WordSize::Bits64 => 16,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sched_poll_of_both_word_sizes() {
        let mut bytes = [0; SchedPoll::MAX_SIZE];
        bytes.iter_mut().zip(1..).for_each(|(byte, i)| *byte = i);
        assert_eq!(
            SchedPoll::from_bytes(&bytes, WordSize::Bits32),
            SchedPoll {
                ports: 0x0403_0201,
                nr_ports: 0x0807_0605,
                timeout: 0x100f_0e0d_0c0b_0a09,
            }
        );
        assert_eq!(
            SchedPoll::from_bytes(&bytes, WordSize::Bits64),
            SchedPoll {
                ports: 0x0807_0605_0403_0201,
                nr_ports: 0x0c0b_0a09,
                timeout: 0x1817_1615_1413_1211,
            }
        );
    }
}
