// SPDX-License-Identifier: GPL-2.0

//! The module's own bit operations on the processors of this host, at the same time.
//!
//! The machines of the tests are emulated where they can't nest, and then their processors take
//! turns, each for many instructions: one that is not atomic is never caught. Here threads share a
//! word, and each finds its own bits as it left them.

use crate::bitops::{clear_mask, test_and_clear_in, test_and_set, test_and_set_in};
use std::cell::UnsafeCell;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

/// How long each test goes on. Without the prefix `lock` on one of the operations, two threads find
/// that out within a millisecond.
const TIME: Duration = Duration::from_secs(1);

/// How often two threads have to meet, three times in a turn.
const MEETINGS: u64 = 10_000;

/// Turns between two looks at the time.
const TURNS: u32 = 1000;

/// A double word in a cache line of its own, which threads share.
#[repr(align(64))]
struct Shared(UnsafeCell<u64>);

// SAFETY: The double word is changed by atomic instructions alone, or looked at when all threads
// have ended.
unsafe impl Sync for Shared {}

impl Shared {
    fn new() -> Self {
        Shared(UnsafeCell::new(0))
    }

    /// The 32-bit word that has bit `nr`.
    fn words(&self) -> *mut u32 {
        self.0.get().cast()
    }
}

/// Has `threads` threads take turns, each of them with its number, until the time is over.
fn race(threads: u32, turn: impl Fn(u32) + Sync) {
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    assert!(
        cpus > 1,
        "on one processor nothing happens at the same time"
    );
    let start = Barrier::new(threads as usize);
    thread::scope(|scope| {
        for number in 0..threads {
            let (start, turn) = (&start, &turn);
            scope.spawn(move || {
                start.wait();
                let begun = Instant::now();
                while begun.elapsed() < TIME {
                    (0..TURNS).for_each(|_| turn(number));
                }
            });
        }
    });
}

#[test]
fn bits_of_a_word_are_set_and_cleared_beside_each_other() {
    let shared = Shared::new();
    race(4, |number| {
        // Two words, and both ends of each.
        let nr = [0, 31, 32, 63][number as usize];
        // SAFETY: The array has 64 bits, and all change it in this way.
        let (was, is) = unsafe {
            let was = test_and_set_in(shared.words(), nr);
            (was, test_and_clear_in(shared.words(), nr))
        };
        assert!(
            !was && is,
            "bit {nr} was changed by those who change others"
        );
    });
    assert_eq!(shared.0.into_inner(), 0);
}

#[test]
fn bits_of_bytes_are_set_beside_those_of_the_same_word() {
    let shared = Shared::new();
    race(4, |number| {
        let bytes: *mut u8 = shared.0.get().cast();
        // SAFETY: The byte is one of eight, whose double word all change by atomic instructions.
        let was = unsafe { test_and_set(bytes.add(number as usize), 7) };
        // SAFETY: The same bit, by its number in the word.
        let is = unsafe { test_and_clear_in(shared.words(), number * 8 + 7) };
        assert!(
            !was && is,
            "byte {number} was changed by those who change others"
        );
    });
    assert_eq!(shared.0.into_inner(), 0);
}

#[test]
fn masks_are_cleared_beside_other_bits() {
    let shared = Shared::new();
    race(4, |number| {
        let nr = number * 16;
        // SAFETY: The double word has 64 bits, and all change it by atomic instructions.
        let (was, is) = unsafe {
            let was = test_and_set_in(shared.words(), nr) | test_and_set_in(shared.words(), nr + 1);
            clear_mask(shared.0.get(), 3 << nr);
            (was, test_and_set_in(shared.words(), nr))
        };
        // SAFETY: As above.
        let second = unsafe {
            clear_mask(shared.0.get(), 1 << nr);
            test_and_set_in(shared.words(), nr + 1)
        };
        // SAFETY: As above.
        unsafe { clear_mask(shared.0.get(), 2 << nr) };
        assert!(
            !was && !is && !second,
            "bits from {nr} on were changed by those who change others"
        );
    });
    assert_eq!(shared.0.into_inner(), 0);
}

/// Whoever sets a bit that is clear is told so, and nobody else: an event is delivered once.
#[test]
fn one_wins() {
    let shared = Shared::new();
    let (set, cleared) = (AtomicI64::new(0), AtomicI64::new(0));
    race(3, |number| {
        // SAFETY: The array has 64 bits, and all change it in this way.
        unsafe {
            if number == 0 {
                cleared.fetch_add(test_and_clear_in(shared.words(), 40).into(), Relaxed);
            } else {
                set.fetch_add((!test_and_set_in(shared.words(), 40)).into(), Relaxed);
            }
        }
    });
    let (set, cleared) = (set.into_inner(), cleared.into_inner());
    assert!(cleared > 0, "nobody met");
    assert_eq!(set - cleared, (shared.0.into_inner() >> 40) as i64);
}

/// Fully ordered: of two who each set a bit and then look for the other's, at least one sees it. So a
/// sender and a poller don't miss each other.
#[test]
fn of_two_who_set_and_look_one_sees() {
    let bits = [Shared::new(), Shared::new()];
    let saw = [AtomicBool::new(false), AtomicBool::new(false)];
    let (missed, is_over, met) = (AtomicU64::new(0), AtomicBool::new(false), AtomicU64::new(0));
    let begun = Instant::now();
    thread::scope(|scope| {
        for own in 0..2 {
            let (bits, saw, missed, is_over, met) = (&bits, &saw, &missed, &is_over, &met);
            scope.spawn(move || {
                let mut before = 0;
                let mut meet = || {
                    before += 2;
                    met.fetch_add(1, SeqCst);
                    // On a busy host the other one may have to run here.
                    while met.load(SeqCst) < before {
                        thread::yield_now();
                    }
                };
                while !is_over.load(SeqCst) {
                    meet();
                    // SAFETY: The double word is changed in this way alone; it is read whole.
                    let sees = unsafe {
                        test_and_set_in(bits[own].words(), 5);
                        bits[1 - own].0.get().read_volatile() != 0
                    };
                    saw[own].store(sees, SeqCst);
                    meet();
                    if own == 0 {
                        let neither = saw.iter().all(|saw| !saw.load(SeqCst));
                        missed.fetch_add(neither.into(), SeqCst);
                        let often = met.load(SeqCst) > MEETINGS;
                        let time = if often { TIME } else { TIME * 60 };
                        is_over.store(begun.elapsed() > time, SeqCst);
                    }
                    // SAFETY: As above.
                    unsafe { test_and_clear_in(bits[own].words(), 5) };
                    meet();
                }
            });
        }
    });
    assert!(met.into_inner() > MEETINGS, "they hardly met");
    assert_eq!(missed.into_inner(), 0, "neither saw the other's bit");
}
