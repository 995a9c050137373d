// SPDX-License-Identifier: GPL-2.0

//! The module's own bit operations on the processors of this host, at the same time.
//!
//! The machines of the tests are emulated where they can't nest, and then their processors take
//! turns, each for many instructions: one that is not atomic is never caught. Here threads share a
//! word, and each finds its own bits as it left them. Beside that they share another one, which they
//! change without `lock`: they go on until that has gone wrong often enough, however busy the host
//! is, so what they do is seen to be able to fail.

use crate::bitops::{
    clear_mask, compare_and_set, test_and_clear_in, test_and_set, test_and_set_in,
};
use std::arch::asm;
use std::cell::UnsafeCell;
use std::hint::spin_loop;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How often what is not atomic has to go wrong.
const ENOUGH: u64 = 5;

/// By then it should have.
const LIMIT: Duration = Duration::from_secs(300);

/// Turns between two looks at that.
const TURNS: u32 = 1000;

/// How often one looks for the other before it gives way.
const SPINS: u32 = 20_000;

/// A double word in a cache line of its own, which threads share.
#[repr(align(128))]
struct Shared(UnsafeCell<u64>);

// SAFETY: The double word is changed by instructions of assembly alone, each of them whole, or
// looked at when all threads have ended.
unsafe impl Sync for Shared {}

impl Shared {
    fn new() -> Self {
        Shared(UnsafeCell::new(0))
    }

    fn words(&self) -> *mut u32 {
        self.0.get().cast()
    }

    fn value(&self) -> u64 {
        let value: u64;
        // SAFETY: A load of the double word.
        unsafe { asm!("mov {}, [{}]", out(reg) value, in(reg) self.0.get(), options(nostack)) };
        value
    }

    fn is_set(&self) -> bool {
        self.value() != 0
    }

    fn word(&self) -> u32 {
        self.value() as u32
    }

    /// Sets a bit and clears it, not atomically; whether another one's change got lost, or this.
    fn goes_wrong(&self, nr: u32) -> bool {
        let (was, is): (u8, u8);
        // SAFETY: The bit is one of the double word's.
        unsafe {
            asm!(
                "bts dword ptr [{words}], {nr:e}",
                "setc {was}",
                "btr dword ptr [{words}], {nr:e}",
                "setc {is}",
                words = in(reg) self.words(),
                nr = in(reg) nr,
                was = out(reg_byte) was,
                is = out(reg_byte) is,
                options(nostack),
            );
        }
        was != 0 || is == 0
    }
}

/// One test at a time has the processors.
fn alone() -> MutexGuard<'static, ()> {
    static PROCESSORS: Mutex<()> = Mutex::new(());
    // What another test has found is told by that.
    PROCESSORS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has four threads take turns, each of them with its number, for long enough. Of two, a scheduler may
/// well put both on one processor.
fn race(turn: impl Fn(u32) + Sync) {
    let _alone = alone();
    let (control, wrong, begun) = (Shared::new(), AtomicU64::new(0), Instant::now());
    thread::scope(|scope| {
        for number in 0..4 {
            let (control, wrong, turn) = (&control, &wrong, &turn);
            scope.spawn(move || {
                while wrong.load(Relaxed) < ENOUGH && begun.elapsed() < LIMIT {
                    let mut here = 0;
                    for _ in 0..TURNS {
                        turn(number);
                        here += u64::from(control.goes_wrong(number));
                    }
                    wrong.fetch_add(here, Relaxed);
                }
            });
        }
    });
    let wrong = wrong.into_inner();
    assert!(
        wrong >= ENOUGH,
        "the threads hardly met: what is not atomic went wrong {wrong} times"
    );
}

#[test]
fn bits_of_a_word_are_set_and_cleared_beside_each_other() {
    let shared = Shared::new();
    race(|number| {
        // Two words, and both ends of each.
        for nr in [[0, 32], [31, 63], [1, 33], [30, 62]][number as usize] {
            // SAFETY: The array has 64 bits, and all change it in this way.
            let (was, is) = unsafe {
                let was = test_and_set_in(shared.words(), nr);
                (was, test_and_clear_in(shared.words(), nr))
            };
            assert!(!was && is, "bit {nr} was changed by who changes others");
        }
    });
    assert_eq!(shared.0.into_inner(), 0);
}

#[test]
fn bits_of_bytes_are_set_beside_those_of_the_same_word() {
    let shared = Shared::new();
    race(|number| {
        let bytes: *mut u8 = shared.words().cast();
        // SAFETY: The byte is one of eight, whose words all change by atomic instructions.
        let was = unsafe { test_and_set(bytes.add(number as usize), 7) };
        // SAFETY: The same bit, by its number in the word.
        let is = unsafe { test_and_clear_in(shared.words(), number * 8 + 7) };
        assert!(
            !was && is,
            "byte {number} was changed by who changes others"
        );
    });
    assert_eq!(shared.0.into_inner(), 0);
}

#[test]
fn masks_are_cleared_beside_other_bits() {
    let shared = Shared::new();
    race(|number| {
        let nr = number * 16;
        // SAFETY: The double word has 64 bits, and all change it by atomic instructions.
        let was = unsafe {
            let was = test_and_set_in(shared.words(), nr);
            clear_mask(shared.0.get(), 1 << nr);
            was
        };
        assert!(!was, "bit {nr} was changed by who changes others");
    });
    assert_eq!(shared.0.into_inner(), 0);
}

/// A word that was not what was expected is left alone: it has one owner at a time.
#[test]
fn a_word_is_taken_by_one() {
    let shared = Shared::new();
    let owners = AtomicU64::new(0);
    race(|number| {
        let (word, mine) = (shared.words(), number + 1);
        // SAFETY: The word is aligned, and all change it in this way.
        unsafe { compare_and_set(word, 0, mine) };
        if shared.word() == mine {
            let others = owners.fetch_add(1, SeqCst);
            owners.fetch_sub(1, SeqCst);
            assert_eq!(others, 0, "two have taken it");
        }
        // SAFETY: As above.
        unsafe { compare_and_set(word, mine, 0) };
    });
    assert_eq!(shared.0.into_inner(), 0);
}

/// Whoever sets a bit that is clear is told so, and nobody else: an event is delivered once.
#[test]
fn one_wins() {
    let shared = Shared::new();
    let changes = AtomicI64::new(0);
    race(|_| {
        // SAFETY: The array has 64 bits, and all change it in this way.
        let change = unsafe {
            i64::from(!test_and_set_in(shared.words(), 40))
                - i64::from(test_and_clear_in(shared.words(), 40))
        };
        changes.fetch_add(change, Relaxed);
    });
    assert_eq!(changes.into_inner(), 0);
    assert_eq!(shared.0.into_inner(), 0);
}

/// Fully ordered: of two who each set a bit and then look for the other's, at least one sees it. So a
/// sender and a poller don't miss each other. Of two who store and then look, both may miss.
#[test]
fn of_two_who_set_and_look_one_sees() {
    let _alone = alone();
    let met = AtomicU64::new(0);
    let meet = |before: &mut u64| {
        *before += 2;
        met.fetch_add(1, SeqCst);
        let mut spins = 0;
        while met.load(SeqCst) < *before {
            spins += 1;
            // On a busy host the other one may have to run here.
            match spins < SPINS {
                true => spin_loop(),
                false => thread::yield_now(),
            }
        }
    };
    let (bits, stores) = (
        [Shared::new(), Shared::new()],
        [Shared::new(), Shared::new()],
    );
    let saw = [const { AtomicU64::new(0) }; 2];
    let (missed, stores_missed) = (AtomicU64::new(0), AtomicU64::new(0));
    let (is_over, begun) = (AtomicBool::new(false), Instant::now());
    thread::scope(|scope| {
        for own in 0..2 {
            let (bits, stores, saw, missed) = (&bits, &stores, &saw, &missed);
            let (stores_missed, is_over, meet) = (&stores_missed, &is_over, &meet);
            scope.spawn(move || {
                let mut before = 0;
                while !is_over.load(SeqCst) {
                    meet(&mut before);
                    // SAFETY: The double word has 64 bits, and is changed in this way.
                    unsafe { test_and_set_in(bits[own].words(), 5) };
                    let bit = bits[1 - own].is_set();
                    meet(&mut before);
                    // SAFETY: A store to the double word, whose other bits are 0.
                    unsafe {
                        asm!("mov qword ptr [{}], 1", in(reg) stores[own].0.get(), options(nostack));
                    }
                    let store = stores[1 - own].is_set();
                    saw[own].store(u64::from(bit) | u64::from(store) << 1, SeqCst);
                    meet(&mut before);
                    if own == 0 {
                        let saw = saw[0].load(SeqCst) | saw[1].load(SeqCst);
                        missed.fetch_add((saw & 1 == 0).into(), SeqCst);
                        stores_missed.fetch_add((saw & 2 == 0).into(), SeqCst);
                        let enough = stores_missed.load(SeqCst) >= ENOUGH;
                        is_over.store(enough || begun.elapsed() > LIMIT, SeqCst);
                    }
                    // SAFETY: As for setting them.
                    unsafe {
                        test_and_clear_in(bits[own].words(), 5);
                        test_and_clear_in(stores[own].words(), 0);
                    }
                    meet(&mut before);
                }
            });
        }
    });
    let stores_missed = stores_missed.into_inner();
    assert!(
        stores_missed >= ENOUGH,
        "the threads hardly met: {stores_missed} times"
    );
    assert_eq!(missed.into_inner(), 0, "neither saw the other's bit");
}
