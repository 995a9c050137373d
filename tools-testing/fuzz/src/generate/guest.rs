// SPDX-License-Identifier: GPL-2.0
//! What a guest does.

use arbitrary::{Result, Unstructured};
use harness::abi::hypercall::{EVENT_CHANNEL_OP, EVTCHNOP_SEND, XEN_VERSION};
use harness::abi::sched::*;
use harness::guest_code::HYPERCALL_PAGE;
use harness::guest_cpu::DATA;

use super::values::*;
use crate::exec::PORTS;
use crate::op::*;

/// An operation.
pub fn op(u: &mut Unstructured) -> Result<Op> {
    let vcpu = index(u)?;
    Ok(match u.int_in_range(0..=19)? {
        0..=10 => Op::Call(vcpu, call(u)?),
        11 => Op::Resume(vcpu, raw(u)?),
        12 => Op::Run(vcpu, mode(u)?, Code::Nothing),
        13..=15 => Op::Run(vcpu, mode(u)?, Code::Window),
        16 => Op::Run(vcpu, mode(u)?, *u.choose(&[Code::Window, Code::Halt])?),
        17 => Op::FireTimer(vcpu, port(u)?),
        18 => hypercall_page(u, vcpu)?,
        _ => Op::AddVcpu(*u.choose(&[0, 1, 7])?),
    })
}

fn hypercall_page(u: &mut Unstructured, vcpu: u8) -> Result<Op> {
    let msr = *u.choose(&[0x4000_0200, 0x4000_0200, 0x4000_0200, 0x4000_0000])?;
    let page = match u.int_in_range(0..=5)? {
        0..=3 => HYPERCALL_PAGE,
        4 => 0x4000_0000,
        _ => raw(u)?,
    };
    let value = page.wrapping_add(*u.choose(&[0, 0, 0, 1, 2])?);
    Ok(Op::HypercallPage(vcpu, mode(u)?, msr, value))
}

fn call(u: &mut Unstructured) -> Result<Call> {
    let mut call = match u.int_in_range(0..=19)? {
        0..=7 => send(u)?,
        8..=10 => poll(u)?,
        11..=13 => set_timer(u)?,
        14..=16 => vcpu_op(u)?,
        17 => plain(XEN_VERSION, [*u.choose(&[0, 1, 1 << 32])?, 0, 0]),
        18 => plain(
            SCHED_OP,
            [
                *u.choose(&[SCHEDOP_YIELD, SCHEDOP_SHUTDOWN, 1, 4])?,
                DATA,
                0,
            ],
        ),
        _ => {
            let number = match u.ratio(1, 2)? {
                true => u.int_in_range(0..=63)?,
                false => raw(u)?,
            };
            let mut call = plain(number, [raw(u)?, raw(u)?, raw(u)?]);
            for param in &mut call.params[3..] {
                *param = raw(u)?;
            }
            call
        }
    };
    call.mode = mode(u)?;
    call.ring3 = u.ratio(1, 16)?;
    if u.ratio(1, 20)? {
        // Only the lower halves count in 32-bit code.
        call.params[0] |= 1 << 32;
        call.number |= *u.choose(&[0, 1 << 32])?;
    }
    Ok(call)
}

fn plain(number: u64, [p0, p1, p2]: [u64; 3]) -> Call {
    Call {
        mode: Mode::Long,
        ring3: false,
        number,
        params: [p0, p1, p2, 0, 0, 0],
        data: None,
    }
}

fn send(u: &mut Unstructured) -> Result<Call> {
    let command = if u.ratio(1, 20)? {
        u.int_in_range(0..=12)?
    } else {
        EVTCHNOP_SEND
    };
    let mut call = plain(EVENT_CHANNEL_OP, [command, pointer(u, DATA)?, 0]);
    call.data = Some(Data::Port(sender(u)?));
    Ok(call)
}

fn poll(u: &mut Unstructured) -> Result<Call> {
    let mut call = plain(SCHED_OP, [SCHEDOP_POLL, pointer(u, DATA)?, 0]);
    let ports = (0..u.int_in_range(0..=3)?)
        .map(|_| port(u))
        .collect::<Result<Vec<_>>>()?;
    let number = match u.int_in_range(0..=11)? {
        0 => *u.choose(&[0, 127, 128, 129, u32::MAX, 1 << 30])?,
        _ => ports.len() as u32,
    };
    let timeout = match u.int_in_range(0..=9)? {
        0..=7 => *u.choose(&[1, 1000, 1_000_000])?,
        8 => 0,
        _ => raw(u)?,
    };
    let pointer = pointer(u, PORTS)?;
    call.data = Some(Data::Poll {
        ports,
        number,
        pointer,
        timeout,
    });
    Ok(call)
}

fn set_timer(u: &mut Unstructured) -> Result<Call> {
    let time = moment(u)?;
    // Both conventions at once: the upper half is what 32-bit code has besides.
    Ok(plain(SET_TIMER_OP, [time, time >> 32, 0]))
}

fn vcpu_op(u: &mut Unstructured) -> Result<Call> {
    let command = match u.int_in_range(0..=9)? {
        0..=6 => VCPUOP_SET_SINGLESHOT_TIMER,
        7 | 8 => VCPUOP_STOP_SINGLESHOT_TIMER,
        _ => u.int_in_range(0..=14)?,
    };
    let id = if u.ratio(1, 3)? {
        *u.choose(&[1, 7, 1 << 32, u64::MAX])?
    } else {
        0
    };
    let mut call = plain(VCPU_OP, [command, id, pointer(u, DATA)?]);
    call.data = Some(Data::Time(moment(u)?));
    Ok(call)
}
