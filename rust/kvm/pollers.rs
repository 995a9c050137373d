// SPDX-License-Identifier: GPL-2.0

//! What vCPUs poll for: how many poll for a port, and which one if it is one.
//!
//! KVM's list has a bit for each vCPU that polls, whatever for. To find in it who polls for a port is
//! to look at all that poll, and how many do is the guest's to say. So Rust counts them by port, in a
//! table of the module's own. C counts none: its pollers are on KVM's list alone.

/// What a vCPU that polls waits for (`poll_evtchn`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Polled {
    /// One port.
    Port(u32),
    /// One of several ports.
    Several,
}

impl Polled {
    /// The port by which the vCPU is counted. No event comes for port 0, so it is that of who polls
    /// for several.
    pub(crate) const fn counted_as(self) -> u32 {
        match self {
            Self::Port(port) => port,
            Self::Several => 0,
        }
    }
}

/// The vCPUs that are counted in one place: how many they are, and above that the sum of their indices.
///
/// A single vCPU's index is the sum, so that a look at one word tells which it is. Of more than one
/// the sum says nothing, and may wrap.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count(u64);

/// Who polls for a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pollers {
    /// Nobody.
    None,
    /// The vCPU of this index, and no other. It need not.
    One(u32),
    /// Any of those that poll.
    Any,
}

/// How many ports of a VM are counted by themselves: as many as a guest can have.
pub(crate) const PLACES: usize = 4096;

impl Count {
    /// As it is in the table.
    pub(crate) const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// A vCPU that begins to poll: what is to be added.
    pub(crate) const fn one_more(index: u32) -> u64 {
        (index as u64) << 32 | 1
    }

    /// A vCPU that has ended to poll: what is to be added.
    pub(crate) const fn one_less(index: u32) -> u64 {
        Self::one_more(index).wrapping_neg()
    }

    /// Who polls for one of two ports, by the counts of both.
    pub(crate) const fn or(self, other: Self) -> Pollers {
        let both = self.0.wrapping_add(other.0);
        match both as u32 {
            0 => Pollers::None,
            1 => Pollers::One((both >> 32) as u32),
            _ => Pollers::Any,
        }
    }
}

/// Where it is counted who polls for `port` in the VM at the address `vm`. No two ports of a VM have
/// the same place, but ports of two VMs may: then more vCPUs are looked at than have to be.
pub(crate) const fn place(vm: usize, port: u32) -> usize {
    // Addresses are multiples of a page: the upper bits of the product depend on all that differ.
    let of_vm = (vm as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52;
    (of_vm as usize).wrapping_add(port as usize) % PLACES
}
