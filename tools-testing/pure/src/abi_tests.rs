// SPDX-License-Identifier: GPL-2.0

//! The guest's view by numbers, which are those of Xen's headers: what the module takes from here
//! must not move, whatever properties would still hold of it.

use crate::abi::{
    hypercall::{singleshot_timer_size, SchedPoll},
    shared_info::{evtchn_mask, evtchn_pending, wall_clock},
    vcpu_info::evtchn_pending_sel,
    WordSize::{Bits32, Bits64},
};

#[test]
fn arguments_of_hypercalls_have_their_sizes() {
    assert_eq!((SchedPoll::size(Bits32), SchedPoll::size(Bits64)), (16, 24));
    assert_eq!(
        (singleshot_timer_size(Bits32), singleshot_timer_size(Bits64)),
        (12, 16)
    );
}

#[test]
fn bitmaps_are_in_their_places() {
    for (size, mask) in [(Bits32, 0x880), (Bits64, 0xa00)] {
        assert_eq!(evtchn_pending(size).locate(0), (0x800, 0));
        assert_eq!(evtchn_mask(size).locate(0), (mask, 0));
    }
    assert_eq!(evtchn_pending_sel(Bits32).locate(31), (4, 31));
    assert_eq!(evtchn_pending_sel(Bits64).locate(63), (8, 63));
}

#[test]
fn the_wall_clock_is_in_its_place() {
    for (size, at, sec_hi) in [(Bits32, 0x900, 0x924), (Bits64, 0xc00, 0xc0c)] {
        let clock = wall_clock(size);
        let places = [&clock.version, &clock.sec, &clock.nsec, &clock.sec_hi];
        assert_eq!(
            places.map(|field| field.offset()),
            [at, at + 4, at + 8, sec_hi]
        );
    }
}
