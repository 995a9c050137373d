// SPDX-License-Identifier: GPL-2.0
//! What a sequence left behind. Times are no two times the same: instead of
//! them, traces have what must hold of them, and what is not a time.

use std::time::{SystemTime, UNIX_EPOCH};

use harness::abi::PAGE_SIZE;

use crate::memory::Memory;
use crate::op::{Place, PAGES};
use crate::trace::{Item, Kind, Trace, AFTER};

/// Structures of the guest that have times in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// shared_info, of both word sizes.
    Wall,
    /// struct pvclock_vcpu_time_info.
    Pvclock,
    /// struct vcpu_runstate_info, of both word sizes.
    Runstate,
}

/// Size of struct pvclock_vcpu_time_info.
const PVCLOCK_SIZE: usize = 32;
/// Size of struct vcpu_runstate_info of 64-bit guests, the larger one.
const RUNSTATE_SIZE: usize = 48;
/// Where shared_info has the wall clock, and the high half of its seconds.
const WALL_CLOCKS: [(usize, usize); 2] = [(0x900, 0x924), (0xc00, 0xc0c)];

/// Which parts of the area a sequence may have changed.
#[derive(Default)]
pub struct Footprint {
    pages: u32,
    clocks: Vec<(Clock, usize)>,
}

impl Footprint {
    /// Something is placed there.
    pub fn touch(&mut self, place: Place) {
        self.pages |= 1 << place.page;
    }

    /// A structure with times is placed there, and may cross into the next page.
    pub fn clock(&mut self, clock: Clock, place: Place, offset: usize) {
        self.touch(place);
        let start = usize::from(place.page) * PAGE_SIZE + usize::from(place.offset) + offset;
        if usize::from(place.offset) + RUNSTATE_SIZE > PAGE_SIZE && clock == Clock::Runstate {
            self.pages |= 1 << (place.page + 1);
        }
        if !self.clocks.contains(&(clock, start)) {
            self.clocks.push((clock, start));
        }
    }

    /// All that is not 0 in the pages touched.
    pub fn observe(mut self, memory: &mut Memory, trace: &mut Trace) {
        // One page more, as structures may cross into it.
        let mut area = vec![0; (usize::from(PAGES) + 1) * PAGE_SIZE];
        for page in 0..=PAGES {
            if self.pages & (1 << page) != 0 {
                if let Some(bytes) = memory.page(page) {
                    area[usize::from(page) * PAGE_SIZE..][..PAGE_SIZE].copy_from_slice(&bytes);
                }
            }
        }
        self.clocks.sort_by_key(|clock| (clock.1, clock.0 as u8));
        for (at, &(clock, start)) in self.clocks.iter().enumerate() {
            // Of structures that overlap nothing holds: each has times of the other.
            let overlaps = |other: usize| {
                let (clock, begin) = self.clocks[other];
                other != at && begin < start + RUNSTATE_SIZE && start < begin + size(clock)
            };
            let small = clock != Clock::Wall;
            if !(small && (0..self.clocks.len()).any(overlaps)) {
                trace.extend(describe(clock, start, &area));
            }
        }
        for &(clock, start) in &self.clocks {
            blank(clock, start, &mut area);
        }
        for (index, word) in area.chunks_exact(8).enumerate() {
            let value = u64_at(word, 0);
            if value != 0 {
                trace.push(item(Kind::Memory, index * 8, value));
            }
        }
    }
}

fn item(kind: Kind, at: usize, value: u64) -> Item {
    Item::new(AFTER, kind, at as u32, value)
}

/// Bytes from its start in which a structure has times.
fn size(clock: Clock) -> usize {
    match clock {
        Clock::Wall => 0,
        Clock::Pvclock => PVCLOCK_SIZE,
        Clock::Runstate => RUNSTATE_SIZE,
    }
}

fn blank(clock: Clock, start: usize, area: &mut [u8]) {
    match clock {
        Clock::Wall => {
            for (wc, sec_hi) in WALL_CLOCKS {
                area[start + wc..][..12].fill(0);
                area[start + sec_hi..][..4].fill(0);
            }
        }
        Clock::Pvclock => area[start..][..PVCLOCK_SIZE].fill(0),
        Clock::Runstate => area[start..][..RUNSTATE_SIZE].fill(0),
    }
}

fn u32_at(area: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*area[at..].first_chunk().expect("within the area"))
}

fn u64_at(area: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*area[at..].first_chunk().expect("within the area"))
}

fn describe(clock: Clock, start: usize, area: &[u8]) -> Vec<Item> {
    match clock {
        Clock::Wall => WALL_CLOCKS
            .iter()
            .map(|&(wc, sec_hi)| {
                item(
                    Kind::WallClock,
                    start + wc,
                    wall(area, start + wc, start + sec_hi),
                )
            })
            .collect(),
        Clock::Pvclock => vec![item(Kind::Pvclock, start, pvclock(area, start))],
        Clock::Runstate => vec![item(
            Kind::GuestRunstate,
            start,
            guest_runstate(area, start),
        )],
    }
}

/// Its version, and whether the time is one of this day.
fn wall(area: &[u8], wc: usize, sec_hi: usize) -> u64 {
    const DAY: u64 = 24 * 60 * 60;
    let [version, sec, nsec] = [0, 4, 8].map(|field| u32_at(area, wc + field));
    let sec = (u64::from(u32_at(area, sec_hi)) << 32) | u64::from(sec);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs());
    let plausible = match (sec, nsec) {
        (0, 0) => 0,
        (sec, 0..1_000_000_000) if sec.abs_diff(now) < DAY => 1,
        _ => 2,
    };
    (u64::from(version) << 32) | plausible
}

/// How the time stamp counter is scaled, the flags, and which of the times are set.
fn pvclock(area: &[u8], at: usize) -> u64 {
    let version = u32_at(area, at);
    let bit = |value: bool, shift: u32| u64::from(value) << shift;
    bit(version % 2 != 0, 0)
        | bit(version != 0, 1)
        | bit(u64_at(area, at + 8) != 0, 2)
        | bit(u64_at(area, at + 16) != 0, 3)
        | (u64::from(area[at + 28]) << 8)
        | (u64::from(area[at + 29]) << 16)
        | (u64::from(u32_at(area, at + 24)) << 32)
}

/// The state; whether the times add up to when the state began, which says too that no
/// update is under way; and which of the times that depend on no scheduler are set.
pub fn runstate(state: u32, entry: u64, times: [u64; 4]) -> u64 {
    let sum = times
        .iter()
        .fold(0_u64, |sum, time| sum.wrapping_add(*time));
    let [_running, _runnable, blocked, offline] = times;
    let bit = |value: bool, shift: u32| u64::from(value) << shift;
    u64::from(state)
        | bit(sum == entry, 32)
        | bit(entry != 0, 33)
        | bit(blocked != 0, 34)
        | bit(offline != 0, 35)
}

/// In what is seen of a runstate in guest memory: it makes sense in either layout.
pub const IN_BOTH_LAYOUTS: u64 = 1 << 63;

/// All that is seen there of layouts.
pub const LAYOUTS: u64 = 7 << 61;

/// The same of one in guest memory, by the layout that makes sense.
fn guest_runstate(area: &[u8], at: usize) -> u64 {
    let by_layout = |entry: usize| {
        let word = |index: usize| u64_at(area, at + entry + 8 * index);
        runstate(
            u32_at(area, at),
            word(0),
            [word(1), word(2), word(3), word(4)],
        )
    };
    let adds_up = |value: u64| value & (1 << 32) != 0;
    match (by_layout(4), by_layout(8)) {
        (compat, long) if adds_up(compat) && adds_up(long) => compat | IN_BOTH_LAYOUTS,
        (compat, _) if adds_up(compat) => compat | (1 << 62),
        (_, long) if adds_up(long) => long,
        // Only the state can be told.
        _ => u64::from(u32_at(area, at)) | (1 << 61),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runstate_adds_up_or_not() {
        let good = runstate(2, 100, [40, 30, 20, 10]);
        assert_eq!(good & 0xffff_ffff, 2);
        assert_ne!(good, runstate(2, 101, [40, 30, 20, 10]));
        // Other times tell nothing.
        assert_eq!(good, runstate(2, 90, [30, 30, 20, 10]));
        assert_ne!(good, runstate(2, 80, [40, 30, 0, 10]));
        // An update that has not ended does.
        assert_ne!(good, runstate(2, 100 | (1 << 63), [40, 30, 20, 10]));
    }

    #[test]
    fn layouts_of_a_runstate_in_memory() {
        for entry in [4, 8] {
            let mut area = vec![0; 64];
            area[0] = 1;
            for (index, value) in [60_u64, 10, 20, 0, 30].into_iter().enumerate() {
                area[entry + 8 * index..][..8].copy_from_slice(&value.to_le_bytes());
            }
            let seen = guest_runstate(&area, 0);
            assert_eq!(seen & 0xffff_ffff, 1);
            assert_eq!(seen & (1 << 62) != 0, entry == 4);
            assert_eq!(seen & (1 << 61), 0);
            area[entry] ^= 1;
            assert_ne!(guest_runstate(&area, 0) & (1 << 61), 0);
        }
    }

    #[test]
    fn wall_clocks_are_of_today() {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let mut area = vec![0; PAGE_SIZE];
        area[0xc00..0xc04].copy_from_slice(&2_u32.to_le_bytes());
        area[0xc04..0xc08].copy_from_slice(&(now as u32).to_le_bytes());
        assert_eq!(wall(&area, 0xc00, 0xc0c), (2 << 32) | 1);
        area[0xc0c] = 1;
        assert_eq!(wall(&area, 0xc00, 0xc0c), (2 << 32) | 2);
        assert_eq!(wall(&area, 0x900, 0x924), 0);
    }
}
