// SPDX-License-Identifier: GPL-2.0

//! Properties of the guest's view that hold for every value, not only for those in unit tests.

use crate::abi::{
    layout::{Bits, Structure},
    pvclock::{linux_workaround, Scale},
    runstate::{in_first_page, Accounts, Layout, Runstate, State},
    shared_info::{
        evtchn_mask, evtchn_pending, version_while_written, wall_clock, SharedInfo, WallTime,
    },
    vcpu_info::{evtchn_pending_sel, VcpuInfo},
    WordSize,
};
use proptest::prelude::*;

fn word_size() -> impl Strategy<Value = WordSize> {
    prop_oneof![Just(WordSize::Bits32), Just(WordSize::Bits64)]
}

fn state() -> impl Strategy<Value = State> {
    (0..4u64).prop_map(|nr| State::from_u64(nr).expect("there are four"))
}

/// The bit's place in the whole structure.
fn place<S: Structure>(bits: &Bits<S>, nr: u32) -> usize {
    let (byte, bit) = bits.locate(nr);
    byte * 8 + bit as usize
}

proptest! {
    /// Whatever a guest or a VMM passes, and the CPU speculates, the bit is in the structure.
    #[test]
    fn a_bit_is_inside_its_structure(size in word_size(), nr: u32) {
        prop_assert!(place(&evtchn_pending(size), nr) < SharedInfo::SIZE * 8);
        prop_assert!(place(&evtchn_mask(size), nr) < SharedInfo::SIZE * 8);
        prop_assert!(place(&evtchn_pending_sel(size), nr) < VcpuInfo::SIZE * 8);
    }

    /// Ports that are not the same have bits that are not the same, pending and masked.
    #[test]
    fn no_two_ports_share_a_bit(size in word_size(), a in 0..4096u32, b in 0..4096u32) {
        let (a, b) = (a % size.nr_ports(), b % size.nr_ports());
        let (pending, mask) = (evtchn_pending(size), evtchn_mask(size));
        prop_assert_eq!(place(&pending, a) == place(&pending, b), a == b);
        prop_assert_eq!(place(&mask, a) == place(&mask, b), a == b);
        prop_assert_ne!(place(&pending, a), place(&mask, b));
    }

    /// A guest that follows the bits from its word of `pending_sel` finds the port again.
    #[test]
    fn a_port_is_found_by_its_word(size in word_size(), nr in 0..4096u32) {
        let nr = nr % size.nr_ports();
        let bits_per_word = match size {
            WordSize::Bits32 => 32,
            WordSize::Bits64 => 64,
        };
        let word = place(&evtchn_pending(size), nr) - place(&evtchn_pending(size), 0);
        prop_assert_eq!(word / bits_per_word, size.word_of(nr) as usize);
        prop_assert!(size.word_of(nr) < bits_per_word as u32);
    }

    /// Readers that see the same even version before and after have seen no write.
    #[test]
    fn a_write_changes_the_version_and_leaves_it_even(version: u32) {
        let during = version_while_written(version);
        let after = during.wrapping_add(1);
        prop_assert_eq!((during % 2, after % 2), (1, 0));
        prop_assert_ne!(after, version);
    }

    #[test]
    fn wall_time_loses_nothing(nsec: u64, size in word_size()) {
        let time = WallTime::from_nsec(nsec);
        prop_assert!(time.nsec < 1_000_000_000);
        prop_assert_eq!(time.sec * 1_000_000_000 + u64::from(time.nsec), nsec);
        let clock = wall_clock(size);
        let fields = [&clock.version, &clock.sec, &clock.nsec, &clock.sec_hi].map(|f| f.offset());
        for (i, field) in fields.iter().enumerate() {
            prop_assert!(fields[..i].iter().all(|other| other.abs_diff(*field) >= 4));
        }
    }

    /// Accounts that add up go on to do so, whatever happens.
    #[test]
    fn runstate_accounts_keep_adding_up(
        times: [u64; 4],
        first in state(),
        changes in prop::collection::vec((any::<u64>(), any::<i64>(), state()), 0..20),
    ) {
        let entry_time = times.iter().fold(0, |sum: u64, time| sum.wrapping_add(*time));
        let mut runstate = Runstate { state: first, entry_time, times };
        prop_assert!(runstate.adds_up());
        for (now, stolen, next) in changes {
            let before = runstate;
            runstate.change(now, stolen, next);
            prop_assert!(runstate.adds_up());
            prop_assert_eq!(runstate.state, next);
            let went_by = now.wrapping_sub(before.entry_time);
            if (went_by as i64) < 0 {
                prop_assert_eq!(Runstate { state: before.state, ..runstate }, before);
            } else {
                prop_assert_eq!(runstate.entry_time, now);
                for (after, before) in runstate.times.iter().zip(before.times) {
                    prop_assert!(after.wrapping_sub(before) <= went_by);
                }
            }
        }
    }

    /// Adjusting by an account that adds up keeps the sum right.
    #[test]
    fn runstate_adjustment_keeps_the_sum(a: [u64; 4], b: [u64; 4], state in state()) {
        let account = |times: [u64; 4]| Runstate {
            state,
            entry_time: times.iter().fold(0, |sum: u64, time| sum.wrapping_add(*time)),
            times,
        };
        let mut sum = account(a);
        sum.adjust(&account(b));
        prop_assert!(sum.adds_up());
        prop_assert_eq!(sum.state, state);
    }

    /// The two parts of a structure are all of it, the first is not empty and ends by the page.
    #[test]
    fn a_runstate_is_split_at_a_page(gpa: u64, size in word_size()) {
        let all = Layout::of(size).size;
        let first = in_first_page(gpa, all);
        prop_assert!((1..=all).contains(&first));
        prop_assert!(gpa % 4096 + first as u64 <= 4096);
        if first < all {
            prop_assert_eq!((gpa % 4096) + first as u64, 4096);
        }
    }

    /// Time does not run backwards while the TSC does not and nothing overflows.
    #[test]
    fn system_time_is_monotone(mul: u32, shift in -31i8..=0, a in 0..1u64 << 40, b in 0..1u64 << 40) {
        let scale = Scale::from_words([0, 0, 0, u64::from(mul) | u64::from(shift as u8) << 32]);
        prop_assert_eq!((scale.mul, scale.shift), (mul, shift));
        let (a, b) = (a.min(b), a.max(b));
        prop_assert!(scale.system_time(a) <= scale.system_time(b));
    }

    /// A timeout is as asked for, or 100 ms.
    #[test]
    fn a_timeout_is_kept_or_moved_to_100_ms(timeout: u64, delta: i64) {
        let moved = (timeout as i64) < 0 || delta >= 1 << 50;
        prop_assert_eq!(linux_workaround(timeout, delta), if moved { 100_000_000 } else { delta });
    }
}
