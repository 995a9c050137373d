// SPDX-License-Identifier: GPL-2.0
//! Updates of a port that a guest sends to in a loop.

use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use harness::abi::hypercall::{EVENT_CHANNEL_OP, EVTCHNOP_SEND};
use harness::abi::{Abi, VcpuInfo, PAGE_SIZE};
use harness::check::{check, eventually};
use harness::guest_cpu::DATA;
use harness::host::{go_first, pin};
use harness::host_cpu::hypercall_instruction;
use harness::machine::{Machine, VCPU_INFO_PAGE};
use harness::memory::Area;
use harness::outcome::Outcome;
use harness::port::Port;
use harness::vm::errno;

/// Where the guest's loop is.
const LOOP: u64 = 0x2_4000;
/// vCPUs between the sender and the targets: C looks through all of them for the
/// target's number, which makes the time long in which it may be overtaken.
const CROWD: u32 = 48;
const OLD: u32 = 200;
const NEW: u32 = 201;

/// Guest code that sends to a port for ever.
fn write_sending_loop(machine: &Machine) -> Outcome {
    let mut code = Vec::new();
    for (opcode, value) in [
        (0xb8_u8, EVENT_CHANNEL_OP), // mov eax
        (0xbf, EVTCHNOP_SEND),       // mov edi
        (0xbe, DATA),                // mov esi
    ] {
        code.push(opcode);
        code.extend_from_slice(&(value as u32).to_le_bytes());
    }
    code.extend_from_slice(&hypercall_instruction().1);
    let back = -(code.len() as i8 + 2);
    code.extend_from_slice(&[0xeb, back as u8]); // jmp
    machine.ram.write(LOOP, &code)
}

/// After an update no event goes to the old vCPU, however it met with a sender.
pub fn no_event_goes_to_the_old_vcpu() -> Outcome {
    updates_against_a_sender(0, false)
}

/// Who was sending already may still reach the old vCPU after an update, but whoever begins later
/// does not.
pub fn an_update_is_not_undone_by_a_sender() -> Outcome {
    updates_against_a_sender(4, true)
}

/// Updates a port back and forth under a guest that sends to it. After an update the old vCPU may
/// have no more than so many events, one after the other.
///
/// On one CPU the sender is interrupted by each update, wherever it is, and goes on afterwards.
fn updates_against_a_sender(strays: usize, on_one_cpu: bool) -> Outcome {
    const PORT: u32 = 9;
    let mut machine = Machine::new(Abi::Bits64)?;
    machine.boot(0)?;
    for id in 0..CROWD {
        machine.add_vcpu(100 + id)?;
    }
    let mut infos = Vec::new();
    for (at, id) in [OLD, NEW].into_iter().enumerate() {
        machine.add_vcpu(id)?;
        let page = VCPU_INFO_PAGE + 1 + at;
        machine
            .area
            .slice(page, 0, PAGE_SIZE)
            .copy_from(&[0_u8; PAGE_SIZE]);
        let vcpu = machine.vcpus.last().expect("just added");
        vcpu.set_vcpu_info(Area::gpa(page, 0))?;
        infos.push(page);
    }
    machine.ram.write(DATA, &5_u32.to_le_bytes())?;
    machine.vm.assign(Port::interdomain(5, PORT, OLD))?;
    write_sending_loop(&machine)?;
    let sender = machine.detach(0, move |vcpu| {
        if on_one_cpu && pin(0).is_err() {
            return Err(Errno::EINVAL);
        }
        let mut regs = vcpu.fd.get_regs().map_err(errno)?;
        regs.rip = LOOP;
        regs.rflags = 2;
        vcpu.fd.set_regs(&regs).map_err(errno)?;
        vcpu.run()
    })?;
    let sel = |page: usize| {
        let area = machine.area.slice(page, 0, 64);
        VcpuInfo::new(area, Abi::Bits64)
    };
    eventually("the first event", || machine.shared_info().pending(PORT))?;

    if on_one_cpu {
        pin(0)?;
        // Whoever may not do this is in the sender's way less often.
        let _ = go_first();
    }
    let mut seed = 12345_u64;
    let mut nap = || {
        seed = seed
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        let random = seed >> 33;
        if on_one_cpu {
            let longest = if random % 2 == 0 { 20_000 } else { 300_000 };
            return thread::sleep(Duration::from_nanos(random / 2 % longest));
        }
        let until = Instant::now() + Duration::from_nanos(random % 100_000);
        if seed >> 63 == 0 {
            thread::sleep(Duration::from_nanos(1));
        }
        while Instant::now() < until {
            std::hint::spin_loop();
        }
    };
    let start = Instant::now();
    let long = Duration::from_secs(if on_one_cpu { 10 } else { 3 });
    let mut rounds = 0;
    // However slow the machine is, there is something to see.
    while start.elapsed() < long || rounds < 20 {
        let target = rounds % 2;
        let ids = [OLD, NEW];
        // Updates that a sender meets at any point of its way.
        machine.vm.update(Port::interdomain(5, PORT, ids[target]))?;
        nap();
        machine
            .vm
            .update(Port::interdomain(5, PORT, ids[1 - target]))?;
        nap();
        machine.vm.update(Port::interdomain(5, PORT, ids[target]))?;
        // From here on all is for the target.
        let (old, new) = (sel(infos[1 - target]), sel(infos[target]));
        let mut at_old = 0;
        while at_old <= strays {
            old.acknowledge();
            new.acknowledge();
            machine.shared_info().set_pending(PORT, false);
            eventually("an event", || new.pending_sel() | old.pending_sel() != 0)?;
            if old.pending_sel() == 0 {
                break;
            }
            at_old += 1;
        }
        check(
            format!("at most {strays} events at the old vCPU after update {rounds}"),
            at_old <= strays,
        )?;
        rounds += 1;
    }
    println!("# {rounds} rounds of updates against a sender");
    sender.stays(Duration::from_millis(1))
}
