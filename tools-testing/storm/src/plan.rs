// SPDX-License-Identifier: GPL-2.0
//! What a storm's guest is like, and which port is for what.

use std::os::fd::RawFd;

/// Ports of each vCPU: two words of a 64-bit guest's bitmap, four of a 32-bit one's.
const STRIDE: u32 = 128;
/// The first port that is polled, of those of a vCPU: in a word of their own.
const POLLED: u32 = 64;

/// A vCPU's port with this number.
pub fn port(vcpu: usize, number: u32) -> u32 {
    assert!(number < STRIDE);
    vcpu as u32 * STRIDE + number
}

/// Asks a vCPU to look whether it is to stop.
pub fn bell(vcpu: usize) -> u32 {
    port(vcpu, 1)
}

/// A vCPU's timer.
pub fn timer(vcpu: usize) -> u32 {
    port(vcpu, 34)
}

/// All kinds of senders use it.
pub fn common(vcpu: usize) -> u32 {
    port(vcpu, 3)
}

/// The VMM's threads send to it by ioctl.
pub fn by_ioctl(vcpu: usize) -> u32 {
    port(vcpu, 36)
}

/// An irqfd sends to it.
pub fn by_irqfd(vcpu: usize) -> u32 {
    port(vcpu, 5)
}

/// An IPI from one vCPU to another.
pub fn ipi(from: usize, to: usize) -> u32 {
    port(to, 16 + from as u32)
}

/// A word of evtchn_pending, in a 64-bit guest, that all vCPUs look at.
pub const RESTLESS_WORD: u32 = 15;

/// Assigned, taken away and bound elsewhere all the time.
pub fn restless(vcpu: usize) -> u32 {
    RESTLESS_WORD * 64 + 40 + vcpu as u32
}

/// What vCPU `vcpu` sends to for [`restless`] to become pending.
pub fn restless_send(vcpu: usize) -> u32 {
    port(vcpu, 49)
}

/// What a vCPU sends to for the VMM's eventfd.
pub fn to_eventfd(vcpu: usize) -> u32 {
    port(vcpu, 50)
}

/// A port of a vCPU that polls.
pub fn masked(vcpu: usize, index: usize) -> u32 {
    port(vcpu, POLLED + index as u32)
}

/// The word of evtchn_pending that has the first ports, in a 64-bit guest.
pub fn first_word(vcpu: usize) -> u32 {
    port(vcpu, 0) / 64
}

/// The word of evtchn_pending that has the polled ports, in a 64-bit guest.
pub fn polled_word(vcpu: usize) -> u32 {
    port(vcpu, POLLED) / 64
}

/// How events tell a vCPU of themselves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Upcall {
    /// By the vector of the VM: KVM looks at vcpu_info.
    Vm,
    /// By the vCPU's local APIC.
    Apic,
    /// By SCHEDOP_poll of ports that are masked.
    Poll,
    /// The same, for 500 ms at most, and in one turn of four.
    PollNowAndThen,
}

impl Upcall {
    /// Whether there are ports that the vCPU polls for.
    pub fn polls(self) -> bool {
        matches!(self, Self::Poll | Self::PollNowAndThen)
    }
}

/// Which layout a guest looks at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scan {
    /// That of 32-bit guests.
    Bits32,
    /// That of 64-bit guests.
    Bits64,
    /// Neither: the bits of ports are at the same places in both.
    Changing,
}

/// What a guest is like.
#[derive(Clone)]
pub struct Plan {
    /// For each vCPU, how it is told of events.
    pub upcalls: Vec<Upcall>,
    pub scan: Scan,
    /// The vCPUs set their timers.
    pub timers: bool,
    /// They do so even before these have fired.
    pub rearm: bool,
    /// How soon they fire, in nanoseconds.
    pub timer_delta: u64,
    /// The vCPUs send to each other.
    pub ipis: bool,
    /// They do so for each event that the VMM sent them, and only then.
    pub replies: bool,
    /// vCPU 0 never waits, and sends all the time.
    pub spin: bool,
    /// An event goes around the vCPUs; there is but one.
    pub ring: bool,
    /// The pages are private.
    pub private: bool,
    /// All vCPUs send to this eventfd, too.
    pub eventfd: Option<RawFd>,
    /// They send to ports that come and go.
    pub restless: bool,
}

impl Plan {
    /// A 64-bit guest of four vCPUs, of which two are interrupted by their APICs.
    pub fn usual() -> Self {
        Self {
            upcalls: vec![Upcall::Vm, Upcall::Apic, Upcall::Vm, Upcall::Apic],
            scan: Scan::Bits64,
            timers: true,
            rearm: false,
            timer_delta: 700_000,
            ipis: true,
            replies: false,
            spin: false,
            ring: false,
            private: false,
            eventfd: None,
            restless: false,
        }
    }

    /// A guest that leaves the machine time for other things.
    pub fn gentle(upcalls: Vec<Upcall>) -> Self {
        Self {
            upcalls,
            timer_delta: 30_000_000,
            ipis: false,
            replies: true,
            ..Self::usual()
        }
    }

    /// How many vCPUs it begins with.
    pub fn vcpus(&self) -> usize {
        self.upcalls.len()
    }
}
