// SPDX-License-Identifier: GPL-2.0
//! Numbers and places: mostly such as are right, then such as are almost, and
//! a few that are anything.

use arbitrary::{Result, Unstructured};

use crate::op::{Gpa, Hva, Mode};

/// The only priority that there is.
pub const PRIORITY: u32 = u32::MAX;

/// Numbers at which something ends or overflows.
const EDGES: &[u64] = &[
    0,
    1,
    0xfff,
    0x1000,
    u32::MAX as u64,
    1 << 32,
    1 << 52,
    (1 << 52) - 1,
    0x0000_7fff_ffff_f000,
    0x0000_8000_0000_0000,
    0xffff_8000_0000_0000,
    0xffff_ffff_ffff_f000,
    i64::MAX as u64,
    1 << 63,
    u64::MAX - 0xfff,
    u64::MAX - 1,
    u64::MAX,
];

/// Anything, or an edge.
pub fn raw(u: &mut Unstructured) -> Result<u64> {
    if u.ratio(3, 4)? {
        u.choose(EDGES).copied()
    } else {
        u.arbitrary()
    }
}

/// A port. Not those whose pending bits are where 32-bit guests have a clock.
pub fn port(u: &mut Unstructured) -> Result<u32> {
    Ok(match u.int_in_range(0..=19)? {
        0..=9 => u.int_in_range(1..=8)?,
        10..=12 => *u.choose(&[31, 32, 33, 63, 64, 65])?,
        13..=15 => *u.choose(&[1023, 1024, 1025, 2560, 4095])?,
        16 => *u.choose(&[0, 4096, u32::MAX, 1 << 31])?,
        17 => u.int_in_range(2560..=4095)?,
        _ => u.int_in_range(1..=1023)?,
    })
}

/// A port of the few that senders are assigned to, so that it often is one that has a sender.
pub fn sender(u: &mut Unstructured) -> Result<u32> {
    if u.ratio(1, 4)? {
        return port(u);
    }
    u.int_in_range(1..=3)
}

/// The number of a vCPU, which mostly is there.
pub fn vcpu(u: &mut Unstructured) -> Result<u32> {
    Ok(match u.int_in_range(0..=9)? {
        0..=6 => 0,
        7 | 8 => *u.choose(&[1, 7])?,
        _ => *u.choose(&[2, 255, 4096, u32::MAX])?,
    })
}

/// The place of a vCPU in the order of creation.
pub fn index(u: &mut Unstructured) -> Result<u8> {
    Ok(u8::from(u.ratio(1, 6)?))
}

/// The only priority, mostly.
pub fn priority(u: &mut Unstructured) -> Result<u32> {
    if u.ratio(1, 20)? {
        return u.choose(&[0, 1, u32::MAX - 1]).copied();
    }
    Ok(PRIORITY)
}

/// A byte in a page for a structure of this size.
fn offset(u: &mut Unstructured, size: u16) -> Result<u16> {
    Ok(match u.int_in_range(0..=9)? {
        0..=3 => u.int_in_range(0..=7)? * 0x80,
        4 => 4096 - size,
        5 => 4096 - size + 1,
        6 => *u.choose(&[1, 3, 4, 0x33f, 0xff8, 0xffc, 0xfff])?,
        _ => u.int_in_range(0..=63)? * 0x40,
    })
}

/// Somewhere in guest memory, on these pages, or nowhere.
fn gpa(u: &mut Unstructured, pages: [u8; 2], size: u16) -> Result<Gpa> {
    let page = *u.choose(&pages)?;
    let at = offset(u, size)?;
    Ok(match u.int_in_range(0..=19)? {
        0..=11 => Gpa::Area(page, at),
        12..=14 => Gpa::Elsewhere(page, at),
        15 => Gpa::Ram(0x2_2000 + u32::from(at)),
        16 => Gpa::NoMemory,
        17 | 18 => Gpa::Invalid,
        _ => Gpa::Raw(raw(u)?),
    })
}

/// Where a vcpu_info may be: also where shared_info has some.
pub fn vcpu_info(u: &mut Unstructured) -> Result<Gpa> {
    if u.ratio(1, 8)? {
        return Ok(Gpa::Area(0, u.int_in_range(0..=31)? * 64));
    }
    gpa(u, [2, 3], 64)
}

/// The same, by the VMM's address.
pub fn vcpu_info_hva(u: &mut Unstructured) -> Result<Hva> {
    hva(u, [2, 3], 64)
}

/// Where a clock may be.
pub fn time_info(u: &mut Unstructured) -> Result<Gpa> {
    gpa(u, [4, 4], 32)
}

/// Where a runstate may be: in one page or two.
pub fn runstate(u: &mut Unstructured) -> Result<Gpa> {
    if u.ratio(1, 4)? {
        return Ok(Gpa::Area(5, 4096 - u.int_in_range(1..=48)?));
    }
    let size = *u.choose(&[44, 48])?;
    gpa(u, [5, 6], size)
}

/// Where shared_info may be.
pub fn shared_info(u: &mut Unstructured) -> Result<Gpa> {
    let page = u.int_in_range(0..=1)?;
    Ok(match u.int_in_range(0..=9)? {
        0..=5 => Gpa::Area(page, 0),
        6 | 7 => Gpa::Elsewhere(page, 0),
        8 => Gpa::NoMemory,
        _ => Gpa::Ram(0x2_4000),
    })
}

/// An address of the VMM's on these pages, or a bad one.
fn hva(u: &mut Unstructured, pages: [u8; 2], size: u16) -> Result<Hva> {
    let page = *u.choose(&pages)?;
    let at = offset(u, size)?;
    Ok(match u.int_in_range(0..=9)? {
        0..=6 => Hva::Area(page, at),
        7 => Hva::Raw(0),
        _ => Hva::Raw(raw(u)?),
    })
}

/// Where shared_info may be, by the VMM's address.
pub fn shared_info_hva(u: &mut Unstructured) -> Result<Hva> {
    Ok(match hva(u, [0, 1], 64)? {
        Hva::Area(page, offset) if offset % 2 == 0 => Hva::Area(page, 0),
        hva => hva,
    })
}

/// An address in the guest, where there should be a structure for a hypercall.
pub fn pointer(u: &mut Unstructured, good: u64) -> Result<u64> {
    Ok(match u.int_in_range(0..=11)? {
        0..=8 => good,
        // The structure begins in RAM, and ends beyond.
        9 => 0x4_0000 - u.int_in_range(1..=8)?,
        10 => 0x4000_0000,
        _ => raw(u)?,
    })
}

/// The mode of the guest.
pub fn mode(u: &mut Unstructured) -> Result<Mode> {
    u.choose(&[
        Mode::Long,
        Mode::Long,
        Mode::Long,
        Mode::Compat,
        Mode::Protected,
    ])
    .copied()
}

/// A moment: long past, far away, or none.
pub fn moment(u: &mut Unstructured) -> Result<u64> {
    Ok(match u.int_in_range(0..=9)? {
        0..=3 => 1 + u.int_in_range(0..=9)?,
        4..=6 => (1 << 45) + u.int_in_range(0..=9)?,
        7 => 0,
        8 => *u.choose(&[1 << 50, 1 << 51, 1 << 62, 1 << 63, u64::MAX])?,
        _ => raw(u)?,
    })
}
