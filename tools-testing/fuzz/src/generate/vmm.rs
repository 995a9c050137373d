// SPDX-License-Identifier: GPL-2.0
//! What a VMM does.

use arbitrary::{Result, Unstructured};
use harness::abi::status;
use kvm_bindings::*;

use super::values::*;
use crate::op::*;

/// An operation.
pub fn op(u: &mut Unstructured) -> Result<Op> {
    Ok(match u.int_in_range(0..=99)? {
        0..=16 => Op::Send(port(u)?, vcpu(u)?, priority(u)?),
        17..=31 => assign(u)?,
        32..=44 => Op::SetVm(vm_attr(u)?),
        45..=47 => Op::GetVm(u.int_in_range(0..=9)?),
        48..=59 => Op::SetVcpu(index(u)?, vcpu_attr(u)?),
        60..=62 => Op::GetVcpu(index(u)?, u.int_in_range(0..=11)?),
        63..=66 => Op::Routes(routes(u)?),
        67..=69 => Op::Irqfd(line(u)?, u.int_in_range(0..=2)?),
        70..=73 => Op::IrqLine(line(u)?, u32::from(!u.ratio(1, 5)?)),
        74..=81 => Op::Slot(slot(u)?),
        82..=89 => Op::Page(u.int_in_range(0..=6)?, page(u)?),
        90..=93 => poke(u)?,
        94 => Op::DirtyLog(u.arbitrary()?),
        95 | 96 => config(u)?,
        97 => Op::AddVcpu(*u.choose(&[0, 1, 7, 255, 4095, 4096, u32::MAX])?),
        _ => Op::EnableLapic(index(u)?),
    })
}

fn config(u: &mut Unstructured) -> Result<Op> {
    let flags = match u.int_in_range(0..=5)? {
        0..=3 => *u.choose(&[2, 0x22, 0xa2, 0, 0x20, 0x80])?,
        4 => 1 << u.int_in_range(0..=31)?,
        _ => u.arbitrary()?,
    };
    let msr = *u.choose(&[
        0x4000_0200,
        0x4000_0200,
        0x4000_0000,
        0,
        0x3fff_ffff,
        0x4fff_ffff,
        0x5000_0000,
        0x10,
    ])?;
    let blobs = if u.ratio(1, 3)? {
        [u.int_in_range(0..=2)?, u.int_in_range(0..=2)?]
    } else {
        [0, 0]
    };
    Ok(Op::Config(flags, msr, blobs))
}

fn vm_attr(u: &mut Unstructured) -> Result<VmAttr> {
    Ok(match u.int_in_range(0..=19)? {
        0..=5 => VmAttr::LongMode(*u.choose(&[0, 1, 1, 2, 255])?),
        6..=9 => VmAttr::SharedInfo(shared_info(u)?),
        10 => VmAttr::SharedInfoGfn(raw(u)?),
        11 | 12 => VmAttr::SharedInfoHva(shared_info_hva(u)?),
        13..=15 => VmAttr::UpcallVector(vector(u)?),
        16 => VmAttr::XenVersion(*u.choose(&[0, 0x4_0011, u32::MAX])?),
        17 | 18 => VmAttr::RunstateUpdateFlag(*u.choose(&[0, 1, 255])?),
        _ => VmAttr::Other(*u.choose(&[7, 8, 255, u16::MAX])?, raw(u)?),
    })
}

fn vector(u: &mut Unstructured) -> Result<u8> {
    u.choose(&[0, 1, 15, 16, 32, 0x80, 0xf3, 255]).copied()
}

fn runstate_words(u: &mut Unstructured) -> Result<[u64; 6]> {
    // Small, as the guest's clock begins with the sequence.
    let mut words = [0; 6];
    for word in &mut words[2..] {
        *word = u.int_in_range(0..=20)?;
    }
    words[0] = *u.choose(&[0, 1, 2, 3, 4, u64::MAX, 1 << 32])?;
    words[1] = words[2..].iter().sum();
    match u.int_in_range(0..=7)? {
        0 => words[1] += 1,
        1 => words[2] = raw(u)?,
        2 => {
            words[3] = raw(u)?;
            words[1] = words[2..]
                .iter()
                .fold(0, |sum: u64, word| sum.wrapping_add(*word));
        }
        _ => {}
    }
    Ok(words)
}

fn vcpu_attr(u: &mut Unstructured) -> Result<VcpuAttr> {
    Ok(match u.int_in_range(0..=29)? {
        0..=4 => VcpuAttr::VcpuInfo(vcpu_info(u)?),
        5 | 6 => VcpuAttr::VcpuInfoHva(vcpu_info_hva(u)?),
        7 | 8 => VcpuAttr::TimeInfo(time_info(u)?),
        9..=12 => VcpuAttr::RunstateAddr(runstate(u)?),
        13..=15 => VcpuAttr::RunstateCurrent(*u.choose(&[0, 1, 2, 3, 4, u64::MAX, 1 << 32])?),
        16 | 17 => VcpuAttr::RunstateData(runstate_words(u)?),
        18 | 19 => VcpuAttr::RunstateAdjust(runstate_words(u)?),
        20 => VcpuAttr::VcpuId(*u.choose(&[0, 1, 7, 4095, 4096, u32::MAX])?),
        21..=25 => VcpuAttr::Timer(port(u)?, priority(u)?, moment(u)?),
        26..=28 => VcpuAttr::UpcallVector(vector(u)?),
        _ => VcpuAttr::Other(*u.choose(&[10, 11, 255, u16::MAX])?, raw(u)?),
    })
}

fn assign(u: &mut Unstructured) -> Result<Op> {
    let number = sender(u)?;
    let flags = *u.choose(&[
        0,
        0,
        0,
        0,
        0,
        KVM_XEN_EVTCHN_UPDATE,
        KVM_XEN_EVTCHN_UPDATE,
        KVM_XEN_EVTCHN_DEASSIGN,
        KVM_XEN_EVTCHN_DEASSIGN,
        KVM_XEN_EVTCHN_RESET,
        8,
        KVM_XEN_EVTCHN_UPDATE | KVM_XEN_EVTCHN_DEASSIGN,
        u32::MAX,
    ])?;
    let kind = match u.int_in_range(0..=9)? {
        0..=3 => status::IPI,
        4..=8 => status::INTERDOMAIN,
        _ => *u.choose(&[0, 1, 3, 4, 6, u32::MAX])?,
    };
    let deliver = match u.int_in_range(0..=11)? {
        0..=5 => Deliver::Port(number, vcpu(u)?, priority(u)?),
        6..=8 => Deliver::Port(port(u)?, vcpu(u)?, priority(u)?),
        9 | 10 => Deliver::Eventfd,
        _ => *u.choose(&[Deliver::NoEventfd, Deliver::Closed])?,
    };
    Ok(Op::Port(number, kind, flags, deliver))
}

fn line(u: &mut Unstructured) -> Result<u32> {
    Ok(match u.int_in_range(0..=9)? {
        0..=6 => 24 + u.int_in_range(0..=1)?,
        7 => 5,
        _ => *u.choose(&[4095, 4096, u32::MAX])?,
    })
}

fn routes(u: &mut Unstructured) -> Result<Vec<Route>> {
    (0..*u.choose(&[0, 1, 1, 2, 2, 2])?)
        .map(|_| {
            Ok(Route {
                gsi: line(u)?,
                port: port(u)?,
                vcpu: vcpu(u)?,
                priority: priority(u)?,
            })
        })
        .collect()
}

fn slot(u: &mut Unstructured) -> Result<Slot> {
    let flags = *u.choose(&[0, 0, 0, KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY, 1 << 31])?;
    Ok(*u.choose(&[
        Slot::Remove,
        Slot::Remove,
        Slot::Add(flags),
        Slot::Add(flags),
        Slot::Move(flags),
        Slot::AddSecond(flags),
        Slot::AddSecond(flags),
        Slot::RemoveSecond,
    ])?)
}

fn page(u: &mut Unstructured) -> Result<Page> {
    u.choose(&[
        Page::Unmap,
        Page::Map,
        Page::Map,
        Page::Forbid,
        Page::WriteProtect,
        Page::Permit,
        Page::Permit,
        Page::Discard,
        Page::Discard,
    ])
    .copied()
}

/// Mostly what a guest writes: masks, and what it acknowledges.
fn poke(u: &mut Unstructured) -> Result<Op> {
    let page = u.int_in_range(0..=1)?;
    let word = u.int_in_range(0..=2)? * 8;
    let value = *u.choose(&[0, 1, 2, 0x1fe, u64::MAX, 1 << 32, 0x100])?;
    let place = match u.int_in_range(0..=5)? {
        // evtchn_mask of 32-bit and 64-bit guests, then evtchn_pending.
        0 => Place {
            page,
            offset: 0x880 + word,
        },
        1 => Place {
            page,
            offset: 0xa00 + word,
        },
        2 => Place {
            page,
            offset: 0x800 + word,
        },
        // vcpu_info: evtchn_upcall_pending and its mask, evtchn_pending_sel.
        _ => Place {
            page: 2,
            offset: *u.choose(&[0x340, 0x344, 0x348, 0, 8, 0x40, 0x48])?,
        },
    };
    Ok(Op::Poke(place, value))
}
