// SPDX-License-Identifier: GPL-2.0
//! Hypercalls, as the guest that makes them sees it.

use kvm_bindings::{
    KVM_XEN_VCPU_ATTR_TYPE_TIMER, KVM_XEN_VCPU_ATTR_TYPE_VCPU_ID,
    KVM_XEN_VCPU_ATTR_TYPE_VCPU_TIME_INFO,
};
use vmm_sys_util::eventfd::{EventFd, EFD_NONBLOCK};

use harness::abi::hypercall::*;
use harness::abi::sched::*;
use harness::abi::Abi;
use harness::attr::word;
use harness::guest_cpu::DATA;
use harness::machine::{Machine, SHARED_INFO_PAGE, SPARE_PAGE};
use harness::memory::Area;
use harness::outcome::Outcome;
use harness::poll::{polling_guest, POLL};
use harness::port::Port;
use harness::vm::PRIORITY;

use super::send::{Before, PORT};
use super::Path;
use crate::guest::{measure, Call};
use crate::sample::{Samples, MANY};

const FLOOR: &str = "hypercall/xen_version";
/// A moment of system time that is long ahead, but not so long that Xen takes it for an overflow.
const FAR: u64 = 1 << 45;

fn guest() -> Outcome<Machine> {
    let mut machine = polling_guest(Abi::Bits64, &[0, 1])?;
    machine.vm.set_xen_version(0x4000a)?;
    let vcpu = &machine.vcpus[0];
    // Which a vCPU need not have by itself, and the timer's hypercalls name.
    vcpu.set_attr(KVM_XEN_VCPU_ATTR_TYPE_VCPU_ID, word(0_u64))?;
    let timer = word((u64::from(PRIORITY) << 32) | u64::from(PORT));
    vcpu.set_attr(KVM_XEN_VCPU_ATTR_TYPE_TIMER, timer)?;
    let time_info = Area::gpa(SPARE_PAGE, 0);
    vcpu.set_attr(KVM_XEN_VCPU_ATTR_TYPE_VCPU_TIME_INFO, word(time_info))?;
    // Once, for what is only done the first time.
    measure(
        &mut machine,
        2,
        &simple(XEN_VERSION, [XENVER_VERSION, 0, 0]),
    )?;
    Ok(machine)
}

/// A hypercall after which there is nothing to clear.
fn simple(number: u64, params: [u64; 3]) -> Call {
    Call {
        number,
        params,
        word: None,
        two_words: None,
    }
}

fn call(number: u64, params: [u64; 3]) -> Outcome<Samples> {
    measure(&mut guest()?, MANY, &simple(number, params))
}

/// Where the word of the bitmap is that has the port.
fn pending_word(machine: &Machine, port: u32) -> u64 {
    let offset = machine.abi.pending_offset() + (port as usize / 64) * 8;
    Area::gpa(SHARED_INFO_PAGE, offset)
}

/// Sends through [`PORT`], which leads to `to` of vCPU `index`.
fn send(port: Port, to: u32, index: usize, before: Before) -> Outcome<Samples> {
    let mut machine = guest()?;
    machine.vm.assign(port)?;
    machine.ram.write(DATA, &port.send_port.to_le_bytes())?;
    before.set(&machine, index)?;
    let mut call = simple(EVENT_CHANNEL_OP, [EVTCHNOP_SEND, DATA, 0]);
    if before != Before::Pending {
        call.word = Some(pending_word(&machine, to));
        call.two_words = Some(machine.place(index).gpa());
    }
    measure(&mut machine, MANY, &call)
}

/// Sends through a port that leads to an eventfd.
fn send_to_eventfd() -> Outcome<Samples> {
    let eventfd = EventFd::new(EFD_NONBLOCK)?;
    send(Port::eventfd(PORT, &eventfd), PORT, 0, Before::Pending)
}

/// Polls for a port that is pending.
fn poll(ports: &[u32]) -> Outcome<Samples> {
    let mut machine = guest()?;
    Before::Pending.set(&machine, 0)?;
    machine.write_poll(ports, 0)?;
    measure(
        &mut machine,
        MANY,
        &simple(SCHED_OP, [SCHEDOP_POLL, POLL, 0]),
    )
}

/// Sets a timer whose event comes at once.
fn past_timer() -> Outcome<Samples> {
    let mut machine = guest()?;
    let mut call = simple(SET_TIMER_OP, [1, 0, 0]);
    call.word = Some(pending_word(&machine, PORT));
    call.two_words = Some(machine.place(0).gpa());
    measure(&mut machine, MANY, &call)
}

fn set_singleshot_timer() -> Outcome<Samples> {
    let mut machine = guest()?;
    machine
        .ram
        .write(DATA, &singleshot_timer(machine.abi, FAR))?;
    let call = simple(VCPU_OP, [VCPUOP_SET_SINGLESHOT_TIMER, 0, DATA]);
    measure(&mut machine, MANY, &call)
}

pub fn paths() -> Vec<Path> {
    let above = |name: &str, measure: fn() -> Outcome<Samples>| {
        Path::above(FLOOR, format!("hypercall/{name}"), measure)
    };
    let ipi = Port::ipi(PORT, 0);
    let send = |name: &str, port: Port, to, index, before| {
        let measure = move || send(port, to, index, before);
        Path::above(FLOOR, format!("hypercall/send-{name}"), measure)
    };
    vec![
        Path::floor(FLOOR, || call(XEN_VERSION, [XENVER_VERSION, 0, 0])),
        send("ipi-coalesced", ipi, PORT, 0, Before::Pending),
        send("ipi-masked", ipi, PORT, 0, Before::Masked),
        send("ipi-raised", ipi, PORT, 0, Before::Clear),
        send(
            "ipi-raised-at-another-vcpu",
            Port::ipi(PORT, 1),
            PORT,
            1,
            Before::Clear,
        ),
        send(
            "interdomain-raised",
            Port::interdomain(PORT + 1, PORT, 0),
            PORT,
            0,
            Before::Clear,
        ),
        above("send-eventfd", send_to_eventfd),
        above("poll-pending", || poll(&[PORT])),
        above("poll-4-pending", || {
            poll(&[PORT - 3, PORT - 2, PORT - 1, PORT])
        }),
        above("set_timer_op", || call(SET_TIMER_OP, [FAR, 0, 0])),
        above("set_timer_op-past", past_timer),
        above("set_timer_op-stop", || call(SET_TIMER_OP, [0, 0, 0])),
        above("set_singleshot_timer", set_singleshot_timer),
        above("stop_singleshot_timer", || {
            call(VCPU_OP, [VCPUOP_STOP_SINGLESHOT_TIMER, 0, 0])
        }),
    ]
}
