// SPDX-License-Identifier: GPL-2.0
//! The account: who sent what, and what the guest saw of it.
//!
//! A sender takes a ticket, a number of the port that only grows, before it sends.
//! A vCPU that takes an event notes the newest ticket. So when a send has
//! succeeded and its port's noted ticket is no older, the event was seen by the
//! guest, by itself or with one that it was coalesced with.

use std::mem::offset_of;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

use harness::outcome::Outcome;
use harness::vm::Vm;
use vm_memory::MmapRegion;

use crate::block::{send_offset, Block, Send, Taken, SENDS};
use crate::plan;

/// Ports that are accounted for: those that guests of either word size have.
pub const PORTS: usize = 1024;
/// vCPUs of a guest.
pub const VCPUS: usize = 6;

const SLOT: u32 = 1;
const GPA: u64 = 0x1000_0000;
const BLOCKS: usize = 0x1_0000;
const BLOCK_SIZE: usize = 0x1000;
const TAKEN: usize = 0x2_0000;
const TAKEN_SIZE: usize = PORTS * size_of::<Taken>();
const SIZE: usize = 0x4_0000;

const _: () = assert!(size_of::<Block>() <= BLOCK_SIZE);
const _: () = assert!(TAKEN + VCPUS * TAKEN_SIZE <= SIZE);

/// The memory that the guest and the VMM share, and a VMM that was forked.
pub struct Book(MmapRegion);

impl Book {
    /// An empty one.
    pub fn new() -> Outcome<Self> {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        Ok(Self(MmapRegion::build(None, SIZE, protection, flags)?))
    }

    /// Gives it to a guest.
    pub fn attach(&self, vm: &Vm) -> Outcome {
        vm.set_slot(SLOT, GPA, &self.0, 0)
    }

    fn word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset % 8 == 0 && offset + 8 <= SIZE);
        // SAFETY: aligned, and within the mapping, which lives as long as `self`;
        // everybody changes it by atomic operations or by single instructions.
        unsafe { AtomicU64::from_ptr(self.0.as_ptr().add(offset).cast()) }
    }

    fn half(&self, offset: usize) -> &AtomicU32 {
        assert!(offset % 4 == 0 && offset + 4 <= SIZE);
        // SAFETY: as above.
        unsafe { AtomicU32::from_ptr(self.0.as_ptr().add(offset).cast()) }
    }

    /// Guest address of a vCPU's block.
    pub fn block_gpa(vcpu: usize) -> u64 {
        GPA + (BLOCKS + vcpu * BLOCK_SIZE) as u64
    }

    /// A word of a vCPU's block, by its offset there.
    pub fn of(&self, vcpu: usize, offset: usize) -> &AtomicU64 {
        assert!(vcpu < VCPUS);
        self.word(BLOCKS + vcpu * BLOCK_SIZE + offset)
    }

    /// Half a word of it.
    pub fn half_of(&self, vcpu: usize, offset: usize) -> &AtomicU32 {
        assert!(vcpu < VCPUS);
        self.half(BLOCKS + vcpu * BLOCK_SIZE + offset)
    }

    /// Writes what a block has for all guests.
    pub fn open(&self, vcpu: usize) {
        let taken = GPA + (TAKEN + vcpu * TAKEN_SIZE) as u64;
        self.of(vcpu, offset_of!(Block, taken)).store(taken, SeqCst);
        self.of(vcpu, offset_of!(Block, tickets)).store(GPA, SeqCst);
        self.of(vcpu, offset_of!(Block, xen_id))
            .store(vcpu as u64, SeqCst);
    }

    /// A new ticket of `port`.
    pub fn ticket(&self, port: u32) -> u64 {
        self.word(port as usize * 8).fetch_add(1, SeqCst) + 1
    }

    fn taken(&self, vcpu: usize, port: u32) -> (&AtomicU64, &AtomicU64) {
        let at = TAKEN + vcpu * TAKEN_SIZE + port as usize * size_of::<Taken>();
        (
            self.word(at + offset_of!(Taken, seen)),
            self.word(at + offset_of!(Taken, count)),
        )
    }

    /// The newest ticket of `port` that some vCPU has seen.
    pub fn seen(&self, port: u32) -> u64 {
        let seen = (0..VCPUS).map(|vcpu| self.taken(vcpu, port).0.load(SeqCst));
        seen.max().unwrap_or(0)
    }

    /// How often `port` was taken, by all vCPUs.
    pub fn count(&self, port: u32) -> u64 {
        (0..VCPUS)
            .map(|vcpu| self.taken(vcpu, port).1.load(SeqCst))
            .sum()
    }

    /// How often anything was.
    pub fn total(&self) -> u64 {
        (0..PORTS as u32).map(|port| self.count(port)).sum()
    }

    /// Has a vCPU send to one more port; returns its place in the list.
    pub fn add_send(&self, vcpu: usize, send_port: u32, port: u32, trigger: u32) -> usize {
        let count = self.half_of(vcpu, offset_of!(Block, send_count));
        let index = count.load(SeqCst) as usize;
        let at = send_offset(index);
        self.half_of(vcpu, at + offset_of!(Send, send_port))
            .store(send_port, SeqCst);
        self.half_of(vcpu, at + offset_of!(Send, port))
            .store(port, SeqCst);
        self.half_of(vcpu, at + offset_of!(Send, trigger))
            .store(trigger, SeqCst);
        count.store(index as u32 + 1, SeqCst);
        index
    }

    /// To how many ports a vCPU sends.
    pub fn sends(&self, vcpu: usize) -> usize {
        let count = self.half_of(vcpu, offset_of!(Block, send_count));
        count.load(SeqCst) as usize
    }

    /// How often a vCPU sent to the VMM's eventfd.
    pub fn to_eventfd(&self, vcpu: usize) -> u64 {
        let sent = (0..SENDS).map(|index| self.send(vcpu, index));
        sent.filter(|sent| sent.port == plan::to_eventfd(vcpu))
            .map(|sent| sent.ok)
            .sum()
    }

    /// What a vCPU's sends came to.
    pub fn send(&self, vcpu: usize, index: usize) -> Sent {
        let at = send_offset(index);
        let word = |offset| self.of(vcpu, at + offset).load(SeqCst);
        Sent {
            port: self.half_of(vcpu, at + offset_of!(Send, port)).load(SeqCst),
            ok: word(offset_of!(Send, ok)),
            last: word(offset_of!(Send, last)),
            refused: word(offset_of!(Send, refused)),
        }
    }

    /// What a vCPU's timer came to.
    pub fn timer(&self, vcpu: usize, port: u32) -> Sent {
        let word = |offset| self.of(vcpu, offset).load(SeqCst);
        Sent {
            port,
            ok: word(offset_of!(Block, timer_ok)),
            last: word(offset_of!(Block, timer_last)),
            refused: word(offset_of!(Block, timer_refused)),
        }
    }
}

/// What somebody sent to a port.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    /// The port at which it arrives.
    pub port: u32,
    /// Sends that succeeded.
    pub ok: u64,
    /// The ticket of the last of them.
    pub last: u64,
    /// Sends that were refused.
    pub refused: u64,
}
