// SPDX-License-Identifier: GPL-2.0
//! C keeps events for words that a guest made 32-bit has not.

use harness::abi::hypercall::EVENT_CHANNEL_OP;
use harness::abi::sched::{SET_TIMER_OP, VCPU_OP};

use super::Case;
use crate::op::*;
use crate::trace::{Item, Kind};

/// The first port in a word that a 32-bit guest does not have, as a 64-bit guest has it.
const FIRST: u32 = 32 * 64;

/// Of an event for a word from 32 on, noted in the kernel when the guest was 64-bit, C makes
/// an upcall to the guest that is 32-bit now, each time that the vCPU runs; and the vCPU never
/// sleeps, where in Rust it does until it is interrupted.
pub(super) fn explains(case: &Case) -> bool {
    let more = |c: &Item, rust: Option<Item>| {
        let rust = rust.filter(|rust| rust.kind == c.kind && rust.at == c.at);
        let rust = rust.map_or(0, |rust| rust.value);
        rust & !c.value == 0 && (rust ^ c.value).count_ones() == 1
    };
    let explained = match (case.difference.c, case.difference.rust) {
        (Some(c), Some(rust)) if c.kind == Kind::Exit => {
            rust.kind == Kind::Result && rust.value as i64 == -i64::from(libc::EINTR)
        }
        // evtchn_upcall_pending, or the upcall's vector.
        (Some(c), rust) if matches!(c.kind, Kind::Memory | Kind::Irr) => more(&c, rust),
        _ => false,
    };
    explained && made_narrow(case.so_far())
}

/// Whether an event for a high word may have been noted, and the guest then made 32-bit.
fn made_narrow(ops: &[Op]) -> bool {
    let sent = ops.iter().position(|op| leads_to_high_word(ops, op));
    sent.is_some_and(|sent| ops[sent..].iter().any(makes_narrow))
}

fn makes_narrow(op: &Op) -> bool {
    matches!(
        op,
        Op::SetVm(VmAttr::LongMode(0)) | Op::HypercallPage(_, Mode::Protected, ..)
    )
}

fn leads_to_high_word(ops: &[Op], op: &Op) -> bool {
    match op {
        Op::Send(port, ..) | Op::FireTimer(_, port) | Op::SetVcpu(_, VcpuAttr::Timer(port, ..)) => {
            *port >= FIRST
        }
        Op::Irqfd(gsi, _) | Op::IrqLine(gsi, _) => ops.iter().any(|op| match op {
            Op::Routes(routes) => routes.iter().any(|r| r.gsi == *gsi && r.port >= FIRST),
            _ => false,
        }),
        Op::Call(_, call) => {
            matches!(
                call.number & 0xffff_ffff,
                EVENT_CHANNEL_OP | SET_TIMER_OP | VCPU_OP
            ) && ops.iter().any(|op| match op {
                Op::Port(_, _, _, Deliver::Port(port, ..))
                | Op::SetVcpu(_, VcpuAttr::Timer(port, ..)) => *port >= FIRST,
                _ => false,
            })
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::of_difference;
    use super::*;
    use crate::trace::AFTER;

    fn explained(ops: &[Op], c: Item, rust: Option<Item>) -> bool {
        of_difference(ops, Some(c), rust, explains)
    }

    fn item(kind: Kind, value: i64) -> Item {
        Item::new(AFTER, kind, 0, value as u64)
    }

    const NARROW: [Op; 2] = [
        Op::FireTimer(0, 0xa00),
        Op::HypercallPage(0, Mode::Protected, 0x4000_0200, 0x20002),
    ];

    #[test]
    fn a_guest_made_narrow_halts() {
        let (woken, slept) = (item(Kind::Exit, 2), item(Kind::Result, -4));
        assert!(explained(&NARROW, woken, Some(slept)));
        // Not the other way round, nor in a guest that is not made narrow, or was before.
        assert!(!explained(&NARROW, slept, Some(woken)));
        assert!(!explained(&NARROW[..1], woken, Some(slept)));
        let [timer, page] = NARROW;
        assert!(!explained(&[page.clone(), timer], woken, Some(slept)));
        assert!(!explained(&[Op::FireTimer(0, 5), page], woken, Some(slept)));
    }

    #[test]
    fn a_guest_made_narrow_has_no_upcall() {
        let (c, rust) = (item(Kind::Memory, 0x101), item(Kind::Memory, 0x100));
        assert!(explained(&NARROW, c, Some(rust)));
        assert!(!explained(&NARROW, rust, Some(c)));
        assert!(explained(&NARROW, item(Kind::Irr, 1 << 16), None));
        assert!(!explained(&NARROW, item(Kind::Memory, 3), None));
    }

    #[test]
    fn an_event_comes_by_a_route_or_a_hypercall() {
        let (woken, slept) = (item(Kind::Exit, 2), Some(item(Kind::Result, -4)));
        let route = |port| {
            Op::Routes(vec![Route {
                gsi: 7,
                port,
                vcpu: 0,
                priority: u32::MAX,
            }])
        };
        let narrow = Op::SetVm(VmAttr::LongMode(0));
        let line = Op::IrqLine(7, 1);
        let by_route = |port| [route(port), line.clone(), narrow.clone()];
        assert!(explained(&by_route(2048), woken, slept));
        assert!(!explained(&by_route(2047), woken, slept));
    }
}
