// SPDX-License-Identifier: GPL-2.0
//! What guest code is told, and tells: a block per vCPU, in memory that it shares
//! with the VMM and that no storm touches.

use std::mem::offset_of;

/// Does not wait, but opens a window for interrupts.
pub const SPIN: u32 = 1;
/// Waits by SCHEDOP_poll, and not by `hlt`, in some turns or in all.
pub const POLL: u32 = 2;
/// Upcalls come by the local APIC, which is told of their end.
pub const EOI: u32 = 4;
/// Sets the timer again before it has fired.
pub const REARM: u32 = 8;

/// Looks at the words of evtchn_pending_sel, in the layout of 64-bit guests.
pub const SCAN_SEL64: u32 = 0;
/// The same in that of 32-bit guests.
pub const SCAN_SEL32: u32 = 1;
/// Clears evtchn_pending_sel in both layouts, and looks at `always` whatever it
/// said; for guests whose word size changes under them.
pub const SCAN_OWN: u32 = 2;

/// Ports that a vCPU can send to.
pub const SENDS: usize = 32;
/// Ports that a vCPU can poll for.
pub const POLLED: usize = 8;

/// A port that a vCPU sends to.
#[repr(C)]
pub struct Send {
    /// The port as EVTCHNOP_send has it; its address is that call's argument.
    pub send_port: u32,
    /// The port at which it arrives, and whose tickets are used.
    pub port: u32,
    /// Send only when another event of this port was taken, unless it is 0.
    pub trigger: u32,
    pub pad: u32,
    /// How many of these were, when it last sent.
    pub answered: u64,
    /// Sends that KVM accepted.
    pub ok: u64,
    /// The ticket of the last of them.
    pub last: u64,
    /// Sends that were refused.
    pub refused: u64,
}

/// A vCPU's block.
#[repr(C)]
pub struct Block {
    pub vcpu_info: u64,
    pub shared_info: u64,
    /// What this vCPU took: [`Taken`] for each port.
    pub taken: u64,
    /// Tickets: a word for each port.
    pub tickets: u64,
    /// Words of evtchn_pending that are looked at every time.
    pub always: u64,
    pub scan: u32,
    pub flags: u32,
    /// Not 0: the guest is to come to its end.
    pub stop: u32,
    pub send_count: u32,
    /// Turns of the guest's main loop.
    pub turns: u64,
    /// The port of the timer, or 0.
    pub timer_port: u32,
    /// Waits by SCHEDOP_poll in those turns whose number has none of these bits.
    pub poll_every: u32,
    /// Nanoseconds from now to when the timer is set to fire.
    pub timer_delta: u64,
    pub timer_ok: u64,
    pub timer_last: u64,
    pub timer_refused: u64,
    /// Argument of VCPUOP_set_singleshot_timer.
    pub timer_argument: [u64; 2],
    /// Xen's number of the vCPU.
    pub xen_id: u64,
    /// Argument of SCHEDOP_poll: ports, their number, the timeout.
    pub poll_argument: [u64; 3],
    pub polls: u64,
    pub poll_errors: u64,
    pub polled: [u32; POLLED + 1],
    pub sends: [Send; SENDS],
}

/// What a vCPU took of one port.
#[repr(C)]
pub struct Taken {
    /// The newest ticket that was there when the event was taken.
    pub seen: u64,
    /// How often it was taken.
    pub count: u64,
}

/// Where the fields of `sends[index]` are.
pub fn send_offset(index: usize) -> usize {
    assert!(index < SENDS);
    offset_of!(Block, sends) + index * size_of::<Send>()
}
