// SPDX-License-Identifier: GPL-2.0
//! Hypercalls, as the guest that makes them sees it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use kvm_bindings::{
    KVM_XEN_VCPU_ATTR_TYPE_TIMER, KVM_XEN_VCPU_ATTR_TYPE_VCPU_ID,
    KVM_XEN_VCPU_ATTR_TYPE_VCPU_TIME_INFO,
};
use vmm_sys_util::eventfd::{EventFd, EFD_NONBLOCK};

use harness::abi::hypercall::*;
use harness::abi::sched::*;
use harness::abi::Abi;
use harness::attr::{timer, word};
use harness::guest_code::HYPERCALL_PAGE;
use harness::guest_cpu::DATA;
use harness::machine::{Machine, SHARED_INFO_PAGE, SPARE_PAGE};
use harness::memory::Area;
use harness::outcome::Outcome;
use harness::poll::{polling_guest, ASLEEP, POLL};
use harness::port::Port;
use harness::runstate;
use harness::vm::HYPERCALL_MSR;

use super::send::{Before, PORT};
use super::Path;
use crate::guest::{measure, Call};
use crate::sample::{Samples, MANY};

const FLOOR: &str = "hypercall/xen_version";
const MSR: &str = "hypercall/wrmsr-without-effect";
const PREEMPTED: &str = "hypercall/preempted";
/// What updates microcode, and does so for no guest.
const MSR_IA32_UCODE_WRITE: u32 = 0x79;
/// A moment of system time that is long ahead, but not so long that Xen takes it for an overflow.
const FAR: u64 = 1 << 45;

fn guest() -> Outcome<Machine> {
    let mut machine = polling_guest(Abi::Bits64, &[0, 1])?;
    machine.vm.set_xen_version(0x4000a)?;
    let vcpu = &machine.vcpus[0];
    // Which a vCPU need not have by itself, and the timer's hypercalls name.
    vcpu.set_attr(KVM_XEN_VCPU_ATTR_TYPE_VCPU_ID, word(0_u64))?;
    vcpu.set_attr(KVM_XEN_VCPU_ATTR_TYPE_TIMER, timer(PORT, 0))?;
    let time_info = Area::gpa(SPARE_PAGE, 0);
    vcpu.set_attr(KVM_XEN_VCPU_ATTR_TYPE_VCPU_TIME_INFO, word(time_info))?;
    // Once, for what is only done the first time.
    let once = Call::hypercall(XEN_VERSION, [XENVER_VERSION, 0, 0]);
    measure(&mut machine, 2, &once)?;
    Ok(machine)
}

fn call(number: u64, params: [u64; 3]) -> Outcome<Samples> {
    measure(&mut guest()?, MANY, &Call::hypercall(number, params))
}

/// Where the word of the bitmap is that has the port.
fn pending_word(machine: &Machine, port: u32) -> u64 {
    let offset = machine.abi.pending_offset() + (port as usize / 64) * 8;
    Area::gpa(SHARED_INFO_PAGE, offset)
}

/// Sends through a port, which leads to `to` of vCPU `index`.
fn send(port: Port, to: u32, index: usize, before: Before) -> Outcome<Samples> {
    let mut machine = guest()?;
    machine.vm.assign(port)?;
    send_through(&mut machine, port.send_port, to, index, before)
}

/// The same with a port that is assigned already.
pub fn send_through(
    machine: &mut Machine,
    port: u32,
    to: u32,
    index: usize,
    before: Before,
) -> Outcome<Samples> {
    machine.ram.write(DATA, &port.to_le_bytes())?;
    before.set(machine, index)?;
    let mut call = Call::hypercall(EVENT_CHANNEL_OP, [EVTCHNOP_SEND, DATA, 0]);
    if before != Before::Pending {
        call.word = Some(pending_word(machine, to));
        call.two_words = Some(machine.place(index).gpa());
    }
    measure(machine, MANY, &call)
}

/// Sends through a port that leads to an eventfd.
fn send_to_eventfd() -> Outcome<Samples> {
    let eventfd = EventFd::new(EFD_NONBLOCK)?;
    send(Port::eventfd(PORT, &eventfd), PORT, 0, Before::Pending)
}

/// Polls for ports of which [`PORT`] is pending.
pub fn poll(machine: &mut Machine, ports: &[u32]) -> Outcome<Samples> {
    Before::Pending.set(machine, 0)?;
    machine.write_poll(ports, 0)?;
    let call = Call::hypercall(SCHED_OP, [SCHEDOP_POLL, POLL, 0]);
    measure(machine, MANY, &call)
}

/// Writes an MSR: that of the hypercall page, or one of which KVM knows and does nothing.
fn wrmsr(msr: u32) -> Outcome<Samples> {
    let page = HYPERCALL_PAGE as u32;
    measure(&mut guest()?, MANY, &Call::wrmsr(msr, page))
}

/// Sends to an eventfd that a thread waits for, which takes the processor from the vCPU at once.
fn preempted(with_runstate: bool) -> Outcome<Samples> {
    let mut machine = guest()?;
    if with_runstate {
        let place = Area::gpa(SPARE_PAGE, runstate::OFFSET);
        runstate::set_address(&machine.vcpus[0], place)?;
    }
    let eventfd = EventFd::new(0)?;
    machine.vm.assign(Port::eventfd(PORT, &eventfd))?;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            take_precedence();
            while eventfd.read().is_ok() && !is_over.load(Ordering::SeqCst) {}
        });
        // It waits by then.
        thread::sleep(ASLEEP);
        let samples = send_through(&mut machine, PORT, PORT, 0, Before::Pending);
        is_over.store(true, Ordering::SeqCst);
        eventfd.write(1)?;
        samples
    })
}

/// Has the calling thread run whenever it can.
fn take_precedence() {
    let first = libc::sched_param { sched_priority: 1 };
    // SAFETY: the call reads the structure, and concerns this thread alone.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &first) };
    assert_eq!(result, 0, "only root may take precedence");
}

/// Sets a timer whose event comes at once.
fn past_timer() -> Outcome<Samples> {
    let mut machine = guest()?;
    let mut call = Call::hypercall(SET_TIMER_OP, [1, 0, 0]);
    call.word = Some(pending_word(&machine, PORT));
    call.two_words = Some(machine.place(0).gpa());
    measure(&mut machine, MANY, &call)
}

fn set_singleshot_timer() -> Outcome<Samples> {
    let mut machine = guest()?;
    machine
        .ram
        .write(DATA, &singleshot_timer(machine.abi, FAR))?;
    let call = Call::hypercall(VCPU_OP, [VCPUOP_SET_SINGLESHOT_TIMER, 0, DATA]);
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
        above("poll-pending", || poll(&mut guest()?, &[PORT])),
        above("poll-4-pending", || {
            poll(&mut guest()?, &[PORT - 3, PORT - 2, PORT - 1, PORT])
        }),
        above("set_timer_op", || call(SET_TIMER_OP, [FAR, 0, 0])),
        above("set_timer_op-past", past_timer),
        above("set_timer_op-stop", || call(SET_TIMER_OP, [0, 0, 0])),
        above("set_singleshot_timer", set_singleshot_timer),
        above("stop_singleshot_timer", || {
            call(VCPU_OP, [VCPUOP_STOP_SINGLESHOT_TIMER, 0, 0])
        }),
        Path::floor(MSR, || wrmsr(MSR_IA32_UCODE_WRITE)),
        Path::above(MSR, "hypercall/page-written", || wrmsr(HYPERCALL_MSR)).with_entry(),
        Path::floor(PREEMPTED, || preempted(false)),
        Path::above(PREEMPTED, "hypercall/preempted-with-runstate", || {
            preempted(true)
        }),
    ]
}
