// SPDX-License-Identifier: GPL-2.0

//! How long a vCPU was in which state: the accounting, and the structure that tells the guest.
//!
//! Source: `struct vcpu_runstate_info` in `xen/interface/vcpu.h`.

use super::WordSize;

/// What a vCPU does, as far as the host is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum State {
    /// It has a CPU, or its thread works for it.
    Running = 0,
    /// It could run, but has no CPU: that is stolen time.
    Runnable = 1,
    /// It waits for an event.
    Blocked = 2,
    /// It is not there yet, or no more.
    Offline = 3,
}

impl State {
    /// The state that a VMM means by `state`, if there is one.
    pub(crate) const fn from_u64(state: u64) -> Option<Self> {
        match state {
            0..4 => Some(Self::from_low_bits(state as u32)),
            _ => None,
        }
    }

    /// The state whose number is in the two lowest bits.
    pub(crate) const fn from_low_bits(number: u32) -> Self {
        match number & 3 {
            0 => Self::Running,
            1 => Self::Runnable,
            2 => Self::Blocked,
            _ => Self::Offline,
        }
    }
}

/// The accounts of a vCPU. All times are in nanoseconds of the guest's system time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Runstate {
    /// The state now. Of a VMM's making, it may be any number below 4.
    pub(crate) state: State,
    /// When that began; 0 for an account that was never opened.
    pub(crate) entry_time: u64,
    /// How long the vCPU was in each state before.
    pub(crate) times: [u64; 4],
}

/// The lesser of two times.
const fn min(a: u64, b: u64) -> u64 {
    if a < b {
        a
    } else {
        b
    }
}

/// Accounts, wherever they are.
pub(crate) trait Accounts {
    /// The state now.
    fn state(&self) -> State;

    /// Has it be another.
    fn set_state(&mut self, state: State);

    /// When it began.
    fn entry_time(&self) -> u64;

    /// Has it have begun at another time.
    fn set_entry_time(&mut self, time: u64);

    /// Adds time to the account of `state`.
    fn add(&mut self, state: State, time: u64);

    /// Ends the present state at `now`, and begins another; returns whether that was accounted for.
    ///
    /// `stolen` is how long the thread has waited for a CPU meanwhile. That counts only against a
    /// vCPU that would have run: it is moved to the account of being runnable. It is less than
    /// nothing where another thread has come to run the vCPU, and may be more than there was where
    /// the clock was set; no more is moved than there was.
    ///
    /// A clock that went backwards accounts nothing: when it has caught up, all time since the last
    /// account goes to the state that is the present one then.
    fn change(&mut self, now: u64, stolen: i64, state: State) -> bool {
        let spent = Spent::new(self.state(), self.entry_time(), now, stolen);
        if let Some(spent) = &spent {
            self.add(State::Runnable, spent.stolen);
            self.add(spent.state, spent.time);
            self.set_entry_time(now);
        }
        self.set_state(state);
        spent.is_some()
    }
}

impl Accounts for Runstate {
    fn state(&self) -> State {
        self.state
    }

    fn set_state(&mut self, state: State) {
        self.state = state;
    }

    fn entry_time(&self) -> u64 {
        self.entry_time
    }

    fn set_entry_time(&mut self, time: u64) {
        self.entry_time = time;
    }

    fn add(&mut self, state: State, time: u64) {
        let account = &mut self.times[state as usize];
        *account = account.wrapping_add(time);
    }
}

impl Runstate {
    /// Shifts all accounts by those of `by`, whose state means nothing.
    pub(crate) fn adjust(&mut self, by: &Self) {
        self.entry_time = self.entry_time.wrapping_add(by.entry_time);
        self.add(State::Running, by.times[0]);
        self.add(State::Runnable, by.times[1]);
        self.add(State::Blocked, by.times[2]);
        self.add(State::Offline, by.times[3]);
    }

    /// Whether the accounts add up to the time at which the state began.
    pub(crate) const fn adds_up(&self) -> bool {
        let [a, b, c, d] = self.times;
        self.entry_time == a.wrapping_add(b).wrapping_add(c).wrapping_add(d)
    }
}

/// What a state that ends is to be charged for.
struct Spent {
    /// The state.
    state: State,
    /// How long it was.
    time: u64,
    /// How long the vCPU was runnable beside that.
    stolen: u64,
}

impl Spent {
    /// Of `state`, which began at `entry_time` (0: never, so the vCPU was offline), until `now`; see
    /// [`Accounts::change`]. None where the clock went backwards.
    const fn new(state: State, entry_time: u64, now: u64, stolen: i64) -> Option<Self> {
        let time = now.wrapping_sub(entry_time);
        if time > i64::MAX as u64 {
            return None;
        }
        let state = match entry_time {
            0 => State::Offline,
            _ => state,
        };
        let stolen = match state {
            State::Running if stolen > 0 => min(stolen as u64, time),
            _ => 0,
        };
        Some(Self {
            state,
            time: time.wrapping_sub(stolen),
            stolen,
        })
    }
}

/// In `state_entry_time`: the structure is being written.
pub(crate) const UPDATE: u64 = 1 << 63;

/// Where the fields of the structure are.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    /// The size in bytes.
    pub(crate) size: usize,
    /// `state_entry_time`; the four of `time` follow it. `state` is at 0.
    pub(crate) entry_time: usize,
}

impl Layout {
    /// For a guest of the word size `size`. A 32-bit guest aligns 64-bit integers to 4.
    pub(crate) const fn of(size: WordSize) -> Self {
        match size {
            WordSize::Bits32 => Self {
                size: 44,
                entry_time: 4,
            },
            WordSize::Bits64 => Self {
                size: 48,
                entry_time: 8,
            },
        }
    }

    /// The byte that has the [`UPDATE`] flag as its highest bit.
    pub(crate) const fn update_byte(self) -> usize {
        self.entry_time.wrapping_add(7)
    }
}

/// How many bytes of a structure of `size` bytes are in the page that `gpa` is in.
pub(crate) const fn in_first_page(gpa: u64, size: usize) -> usize {
    const PAGE: u64 = 4096;
    let room = (PAGE - gpa % PAGE) as usize;
    if size < room {
        size
    } else {
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use WordSize::{Bits32, Bits64};

    const FRESH: Runstate = Runstate {
        state: State::Running,
        entry_time: 0,
        times: [0; 4],
    };

    #[test]
    fn time_before_the_first_change_was_offline() {
        let mut runstate = FRESH;
        runstate.change(100, 30, State::Running);
        assert_eq!(runstate.times, [0, 0, 0, 100]);
        assert!(runstate.adds_up());
    }

    #[test]
    fn stolen_time_is_taken_from_running_alone() {
        let mut runstate = FRESH;
        runstate.change(100, 0, State::Running);
        runstate.change(200, 30, State::Blocked);
        assert_eq!(runstate.times, [70, 30, 0, 100]);
        runstate.change(300, 50, State::Running);
        assert_eq!(runstate.times, [70, 30, 100, 100]);
        assert!(runstate.adds_up());
    }

    #[test]
    fn the_fields_follow_each_other() {
        for (size, entry) in [(Bits32, 4), (Bits64, 8)] {
            let layout = Layout::of(size);
            assert_eq!(layout.entry_time, entry);
            assert_eq!(entry + 5 * 8, layout.size);
            assert_eq!(layout.update_byte(), entry + 7);
        }
    }

    #[test]
    fn a_structure_is_split_at_the_end_of_the_page() {
        assert_eq!(in_first_page(0x1000, 48), 48);
        assert_eq!(in_first_page(0x1fd0, 48), 48);
        assert_eq!(in_first_page(0x1fd1, 48), 47);
        assert_eq!(in_first_page(0x1fff, 48), 1);
        assert_eq!(in_first_page(0x1fd1, 44), 44);
    }

    #[test]
    fn a_clock_that_went_backwards_accounts_nothing() {
        let mut runstate = FRESH;
        runstate.change(100, 0, State::Running);
        let accounted = runstate;
        runstate.change(99, 50, State::Blocked);
        let blocked = Runstate {
            state: State::Blocked,
            ..accounted
        };
        assert_eq!(runstate, blocked);
        // When it has caught up, all of the time is there.
        runstate.change(130, 0, State::Running);
        assert_eq!(runstate.times, [0, 0, 30, 100]);
        assert!(runstate.adds_up());
    }

    #[test]
    fn no_more_is_stolen_than_there_was() {
        let mut runstate = FRESH;
        runstate.change(100, 0, State::Running);
        runstate.change(110, 30, State::Running);
        assert_eq!(runstate.times, [0, 10, 0, 100]);
        runstate.change(120, i64::MAX, State::Running);
        assert_eq!(runstate.times, [0, 20, 0, 100]);
        // Another thread has come, which has waited for less.
        runstate.change(130, -1, State::Running);
        runstate.change(140, i64::MIN, State::Running);
        assert_eq!(runstate.times, [20, 20, 0, 100]);
        assert!(runstate.adds_up());
    }

    #[test]
    fn no_number_of_a_vmm_overflows() {
        for (entry_time, now) in [(u64::MAX, 5), (1 << 63, 0), (1, u64::MAX), (5, u64::MAX)] {
            for stolen in [i64::MIN, -1, i64::MAX] {
                let mut runstate = Runstate {
                    state: State::Running,
                    entry_time,
                    times: [u64::MAX; 4],
                };
                runstate.change(now, stolen, State::Runnable);
                runstate.adjust(&Runstate { ..runstate });
                runstate.adds_up();
            }
        }
    }
}
