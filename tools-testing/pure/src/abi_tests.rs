// SPDX-License-Identifier: GPL-2.0

//! The guest's view by numbers, which are those of Xen's headers: what the module takes from here
//! must not move, whatever properties would still hold of it.

use crate::abi::{
    hypercall::{singleshot_timer_size, SchedPoll},
    pvclock::{linux_workaround, Scale, WORDS},
    runstate::{Runstate, State, UPDATE},
    shared_info::{evtchn_mask, evtchn_pending, wall_clock},
    vcpu_info::{evtchn_pending_sel, TIME},
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

#[test]
fn clocks_are_in_their_places() {
    assert_eq!((TIME.offset(), WORDS.offset()), (32, 0));
}

#[test]
fn the_last_shift_that_leaves_a_bit_counts() {
    // The multiplier and the shift are in the last word.
    let scale = |shift: u64| Scale::from_words([0, 0, 0, 1 | shift << 32]);
    assert_eq!(scale(63).system_time(1), 1 << 31);
    assert_eq!(scale(64).system_time(1), 0);
}

#[test]
fn the_workaround_begins_below_0() {
    assert_eq!(linux_workaround(0, -1), -1);
    assert_eq!(linux_workaround(1 << 63, -1), 100_000_000);
}

#[test]
fn runstates_are_adjusted_and_checked() {
    let mut runstate = Runstate {
        state: State::Running,
        entry_time: 1111,
        times: [1, 10, 100, 1000],
    };
    assert!(runstate.adds_up());
    let by = Runstate {
        state: State::Offline,
        entry_time: 10,
        times: [1, 2, 3, 4],
    };
    runstate.adjust(&by);
    assert_eq!(runstate.state, State::Running);
    assert_eq!(runstate.entry_time, 1121);
    assert_eq!(runstate.times, [2, 12, 103, 1004]);
    runstate.entry_time += 1;
    assert!(!runstate.adds_up());
    assert_eq!(UPDATE, 0x8000_0000_0000_0000);
}
