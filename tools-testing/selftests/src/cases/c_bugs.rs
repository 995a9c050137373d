// SPDX-License-Identifier: GPL-2.0
//! What C gets wrong (Documentation/c-bugs.rst): these cases fail there.

use std::fs::OpenOptions;
use std::io::Write;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use kvm_bindings::{kvm_mp_state, kvm_regs, KVM_MP_STATE_HALTED, KVM_XEN_VCPU_ATTR_TYPE_TIMER};
use nix::errno::Errno;

use super::updates::{an_update_is_not_undone_by_a_sender, no_event_goes_to_the_old_vcpu};
use crate::topic;
use harness::abi::sched::{SCHEDOP_POLL, SCHED_OP};
use harness::abi::Abi;
use harness::attr::{timer, INVALID_GPA};
use harness::check::{check, check_eq, check_err};
use harness::guest_code::Entry;
use harness::image::Place;
use harness::irqfd::Route;
use harness::kernel_log::Tail;
use harness::machine::{Machine, SPARE_PAGE};
use harness::memslot_thread::add_and_remove_slot;
use harness::orphan::Orphan;
use harness::outcome::{fail, Outcome, Stop};
use harness::poll::{poll_ends, polling_guest, ASLEEP, AWAKE, POLL};
use harness::port::Port;
use harness::vcpu::{Exit, Vcpu};
use harness::watch::{Watch, WATCHED};
use harness::withheld::Withheld;

/// Whatever a guest waits for, the VMM can change its memory meanwhile.
fn memslots_change_beside_a_poller(abi: Abi) -> Outcome {
    let mut machine = polling_guest(abi, &[0])?;
    machine.shared_info().set_masked(5, true);
    let poll = machine.begin_poll(&[5], 0)?;
    poll.stays(ASLEEP)?;

    let updates = add_and_remove_slot(&machine.vm)?;
    let start = Instant::now();
    for change in ["add a slot", "remove it"] {
        // On C they wait for the poller, however long.
        match updates.recv_timeout(Duration::from_secs(5)) {
            Ok(result) => result?,
            // The end of this process wakes the poller, and frees the VMM.
            Err(_) => {
                return Err(fail(format!(
                    "to {change} beside a poller: not done after {} ms",
                    start.elapsed().as_millis()
                )))
            }
        }
    }
    println!(
        "# two memslot updates beside a poller: {:?}",
        start.elapsed()
    );
    poll.stays(Duration::from_millis(1))?;
    machine.vm.send(5, 0)?;
    poll_ends(poll, &mut machine, AWAKE)?;
    Ok(())
}

/// A port that asks for no upcall because one is due; the guest, with interrupts
/// off, has not looked yet.
fn unmasked_port_wakes_when_its_selector_is_set(abi: Abi) -> Outcome {
    let mut machine = polling_guest(abi, &[0])?;
    machine.vcpu_info(0).set_pending_sel(1);
    let poll = machine.begin_poll(&[5], 0)?;
    poll.stays(ASLEEP)?;
    machine.vm.send(5, 0)?;
    poll_ends(poll, &mut machine, AWAKE)?;
    Ok(())
}

/// A poller may wait for a port that is bound to another vCPU.
fn port_of_another_vcpu_wakes(abi: Abi) -> Outcome {
    for masked in [true, false] {
        for ports in [&[5][..], &[5, 6]] {
            let mut machine = polling_guest(abi, &[0, 1])?;
            machine.shared_info().set_masked(5, masked);
            let poll = machine.begin_poll(ports, 0)?;
            poll.stays(ASLEEP)?;
            machine.vm.send(5, 1)?;
            poll_ends(poll, &mut machine, AWAKE)?;
        }
    }
    Ok(())
}

/// More pollers than an event may wake with interrupts off: it is left to a task, or to the vCPU
/// whose timer has expired.
fn each_of_many_pollers_wakes() -> Outcome {
    const POLLERS: u32 = 12;
    const GSI: u32 = 7;
    let poll = |vcpu: &mut Vcpu| vcpu.hypercall(SCHED_OP, &[SCHEDOP_POLL, POLL]);
    for by_timer in [false, true] {
        let mut machine = polling_guest(Abi::Bits64, &[0])?;
        machine.vm.set_routes(&[Route::new(GSI, 5, 0)])?;
        let irqfd = machine.vm.irqfd(GSI)?;
        machine.shared_info().set_masked(5, true);
        machine.write_poll(&[5, 6], 0)?;
        for id in 1..POLLERS {
            machine.add_vcpu(id)?;
            machine.boot_with_hypercalls(id as usize)?;
        }
        let mut polls = Vec::new();
        // The last ones first, as those behind one that is gone have other indices.
        for id in (1..POLLERS).rev() {
            polls.push(machine.detach(id as usize, poll)?);
        }
        for poll in &polls {
            poll.stays(Duration::from_millis(5))?;
        }
        if by_timer {
            let expires = machine.vm.fd.get_clock()?.clock + 20_000_000;
            machine.vcpus[0].set_attr(KVM_XEN_VCPU_ATTR_TYPE_TIMER, timer(5, expires))?;
        }
        let first = machine.detach(0, poll)?;
        if !by_timer {
            first.stays(Duration::from_millis(5))?;
            irqfd.signal()?;
        }
        poll_ends(first, &mut machine, AWAKE)?;
        while let Some(poll) = polls.pop() {
            poll_ends(poll, &mut machine, AWAKE)?;
        }
    }
    Ok(())
}

/// To take a port away, or to bind it to another vCPU, waits for no one who is inside of
/// kvm->srcu: here for a vCPU whose vcpu_info is being faulted in.
fn ports_change_beside_a_reader() -> Outcome {
    const PORT: u32 = 9;
    let mut machine = Machine::builder(Abi::Bits64).vcpus(&[0, 1]).build()?;
    machine.vm.assign(Port::interdomain(5, PORT, 0))?;
    let page = Withheld::new()?;
    let hva = page.hva();
    let reader = machine.detach(0, move |vcpu| {
        vcpu.set_vcpu_info_hva(hva)?;
        Ok(Exit::Done)
    })?;
    page.is_wanted(AWAKE)?;

    let vm = &machine.vm;
    thread::scope(|scope| {
        let (done, changed) = mpsc::channel();
        scope.spawn(move || {
            // Nobody listens when the case has failed.
            let _ = done.send(vm.update(Port::interdomain(5, PORT, 1)));
            let _ = done.send(vm.deassign(5));
        });
        let changes = ["update", "deassign"].map(|change| match changed.recv_timeout(AWAKE) {
            Ok(result) => result.map_err(Stop::from),
            Err(_) => Err(fail(format!("the {change} waits for the reader"))),
        });
        let read_on = reader.stays(Duration::from_millis(1));
        // Who waits goes on now, so that the thread ends.
        page.give()?;
        changes.into_iter().collect::<Outcome>()?;
        read_on
    })?;
    reader.back(&mut machine, AWAKE)?;
    Ok(())
}

/// What is taken away beside a reader waits in memory, but not without a limit: two large tables
/// do, and who takes a third one away waits himself.
fn resets_beside_a_reader_are_bounded() -> Outcome {
    const PORTS: u32 = 3000;
    let mut machine = Machine::builder(Abi::Bits64).vcpus(&[0]).build()?;
    let page = Withheld::new()?;
    let hva = page.hva();
    let reader = machine.detach(0, move |vcpu| {
        vcpu.set_vcpu_info_hva(hva)?;
        Ok(Exit::Done)
    })?;
    page.is_wanted(AWAKE)?;

    let vm = &machine.vm;
    thread::scope(|scope| {
        let (tell, heard) = mpsc::channel();
        scope.spawn(move || -> Outcome {
            for _ in 0..3 {
                for port in 1..=PORTS {
                    vm.assign(Port::ipi(port, 0))?;
                }
                // Nobody listens when the case has failed.
                let _ = tell.send("assigned");
                vm.reset_ports()?;
                let _ = tell.send("reset");
            }
            Ok(())
        });
        let expect = |what| match heard.recv_timeout(2 * AWAKE) {
            Ok(word) => check_eq("the next thing done", word, what),
            Err(_) => Err(fail(format!("not {what}: it waits for the reader"))),
        };
        let two = (0..2).try_for_each(|_| expect("assigned").and_then(|()| expect("reset")));
        let third = two.and_then(|()| {
            expect("assigned")?;
            check(
                "who takes a third table away waits",
                heard.recv_timeout(4 * ASLEEP).is_err(),
            )
        });
        // Who waits goes on now, so that the thread ends.
        page.give()?;
        third?;
        expect("reset")
    })?;
    reader.back(&mut machine, AWAKE)?;
    Ok(())
}

/// To take a port away waits for no guest that polls.
fn ports_go_beside_a_poller(abi: Abi) -> Outcome {
    let mut machine = polling_guest(abi, &[0])?;
    machine.shared_info().set_masked(5, true);
    machine.vm.assign(Port::ipi(6, 0))?;
    let poll = machine.begin_poll(&[5], 0)?;
    poll.stays(ASLEEP)?;
    let vm = &machine.vm;
    thread::scope(|scope| {
        let (done, gone) = mpsc::channel();
        // Nobody listens when the case has failed.
        scope.spawn(move || done.send(vm.deassign(6)));
        let gone = gone.recv_timeout(AWAKE);
        // Who waits for the poller goes on now, so that the thread ends.
        vm.send(5, 0)?;
        match gone {
            Ok(result) => Ok(result?),
            Err(_) => Err(fail("the deassign waits for the poller")),
        }
    })?;
    poll_ends(poll, &mut machine, AWAKE)?;
    Ok(())
}

/// What a guest has no word for must not keep it awake.
fn halted_vcpu_sleeps_after_a_change_of_word_size() -> Outcome {
    let mut machine = Machine::new(Abi::Bits64)?;
    machine.boot(0)?;
    machine.vcpus[0].enable_lapic()?;
    machine.vcpus[0].set_vcpu_info(INVALID_GPA)?;
    machine.vm.send(40 * 64, 0)?;
    machine.vm.set_long_mode(0)?;
    machine.set_vcpu_info(0)?;
    let halted = machine.detach(0, |vcpu| {
        // What was noted is told to the guest now.
        match vcpu.start(Entry::Cpuid, kvm_regs::default())? {
            Exit::Done => vcpu.start(Entry::Halt, kvm_regs::default()),
            exit => Ok(exit),
        }
    })?;
    halted.stays(Duration::from_millis(200))?;
    let before = halted.cpu_time()?;
    halted.stays(Duration::from_millis(500))?;
    let used = halted.cpu_time()? - before;
    check(
        format!("a halted vCPU that sleeps; it used {used:?} of 500 ms"),
        used < Duration::from_millis(250),
    )
}

/// Has warnings that the kernel gives once appear anew, and skips the case where
/// that can't be and the one in question was given before.
fn rearm_warnings() -> Outcome {
    const REARM: &str = "/sys/kernel/debug/clear_warn_once";
    if let Ok(mut file) = OpenOptions::new().write(true).open(REARM) {
        return Ok(file.write_all(b"1")?);
    }
    let given = |line: &String| line.contains("WARNING") && line.contains("pfncache.c");
    if Tail::all_or_skip()?.read()?.iter().any(given) {
        let reason = format!("the kernel gave its warning before, and there is no {REARM}");
        return Err(Stop::Skip(reason));
    }
    Ok(())
}

/// A VMM's mistake is no bug of the kernel's.
fn send_without_shared_info_logs_no_warning() -> Outcome {
    rearm_warnings()?;
    let machine = Machine::builder(Abi::Bits64)
        .without_shared_info()
        .build()?;
    let mut log = Tail::or_skip()?;
    check_err("send", machine.vm.send(5, 0), Errno::EINVAL)?;
    log.check_without("WARNING")
}

/// Nor is it one to run a vCPU that the guest has given no vcpu_info.
fn event_without_vcpu_info_logs_no_warning(abi: Abi) -> Outcome {
    rearm_warnings()?;
    let mut machine = Machine::builder(abi).without_vcpu_info().build()?;
    machine.boot(0)?;
    let mut log = Tail::or_skip()?;
    machine.vm.send(5, 0)?;
    machine.vcpus[0].complete(Entry::Cpuid)?;
    log.check_without("WARNING")?;
    check("the port to be pending", machine.shared_info().pending(5))
}

/// An event for a VM whose VMM has ended goes nowhere: its page is somebody else's by now. Here it
/// is a file's, so that it shows and does no harm.
fn event_after_the_vmm_goes_nowhere() -> Outcome {
    const PORT: u32 = 9;
    let vm = Orphan::new(PORT)?;
    let shared_info = vm.shared_info();
    check_eq("pending while it ran", shared_info.pending(PORT), true)?;
    shared_info.set_pending(PORT, false);
    vm.signal()?;
    // What can't be delivered at once is left to a workqueue.
    thread::sleep(Duration::from_millis(200));
    check_eq("pending", shared_info.pending(PORT), false)
}

/// A guest whose vcpu_info has half of the first 8 bytes of evtchn_pending_sel in one cache line, and
/// half in the next, and the addresses of both halves.
fn selectors_across_cache_lines(abi: Abi) -> Outcome<(Machine, [u64; 2])> {
    const CACHE_LINE: usize = 64;
    let sel = abi.pending_sel_offset();
    let place = Place {
        page: SPARE_PAGE,
        offset: 13 * CACHE_LINE + CACHE_LINE - WATCHED as usize - sel,
    };
    let builder = Machine::builder(abi).vcpu_info_at(&[place]);
    let mut machine = builder.without_vcpu_info().build()?;
    machine.boot(0)?;
    let sel = machine.area.hva(place.page, place.offset + sel);
    Ok((machine, [sel, sel + WATCHED]))
}

/// What has an event's bit set in the first half must not write to the second half by the way. If
/// it does, that is by one locked operation on two cache lines.
fn check_halves(halves: [u64; 2], mut event: impl FnMut() -> Outcome) -> Outcome {
    let mut writes = |half| -> Outcome<u64> {
        let mut watch = Watch::new(half)?;
        event()?;
        watch.writes()
    };
    if writes(halves[0])? == 0 {
        return Err(Stop::Skip("watchpoints see nothing here".into()));
    }
    let beyond = writes(halves[1])?;
    check_eq("writes beyond the cache line of an event's bit", beyond, 0)
}

/// An event is set in evtchn_pending_sel, wherever that is, by an operation on one cache line.
fn event_stays_in_a_cache_line(abi: Abi) -> Outcome {
    let (machine, halves) = selectors_across_cache_lines(abi)?;
    machine.set_vcpu_info(0)?;
    check_halves(halves, || {
        machine.clear_events();
        Ok(machine.vm.send(3, 0)?)
    })
}

/// So is one that was noted in the kernel.
fn kept_event_stays_in_a_cache_line() -> Outcome {
    let (mut machine, halves) = selectors_across_cache_lines(Abi::Bits64)?;
    check_halves(halves, || {
        machine.vcpus[0].set_vcpu_info(INVALID_GPA)?;
        machine.clear_events();
        machine.vm.send(3, 0)?;
        machine.set_vcpu_info(0)?;
        // One that sleeps is told before it enters the guest.
        let halted = kvm_mp_state {
            mp_state: KVM_MP_STATE_HALTED,
        };
        machine.vcpus[0].fd.set_mp_state(halted)?;
        machine.vcpus[0].complete(Entry::Cpuid)
    })
}

topic! { "c_bugs";
    each_abi memslots_change_beside_a_poller
        better_in_rust("a memslot update hangs while a guest polls"),
    each_abi unmasked_port_wakes_when_its_selector_is_set
        better_in_rust("an unmasked port does not wake its poller without an upcall"),
    each_abi port_of_another_vcpu_wakes
        better_in_rust("a port wakes the vCPU that it is bound to only"),
    once each_of_many_pollers_wakes
        better_in_rust("a port wakes the vCPU that it is bound to only"),
    once no_event_goes_to_the_old_vcpu
        better_in_rust("a sender may undo an update of its port"),
    once an_update_is_not_undone_by_a_sender
        better_in_rust("a sender undoes an update of its port for good"),
    once ports_change_beside_a_reader
        better_in_rust("a page that is faulted in holds up changes of ports"),
    once resets_beside_a_reader_are_bounded
        better_in_rust("a page that is faulted in holds up changes of ports"),
    each_abi ports_go_beside_a_poller
        better_in_rust("a deassign waits for a guest that polls"),
    once event_after_the_vmm_goes_nowhere
        better_in_rust("an event is written to a page that the VMM has left behind"),
    once halted_vcpu_sleeps_after_a_change_of_word_size
        better_in_rust("events noted for words that the guest lacks keep it awake"),
    once send_without_shared_info_logs_no_warning
        better_in_rust("a send without shared_info sets off a kernel warning"),
    each_abi event_without_vcpu_info_logs_no_warning
        better_in_rust("an event for a vCPU without vcpu_info sets off a kernel warning"),
    each_abi event_stays_in_a_cache_line
        better_in_rust("an event's bit is set by a locked operation across cache lines"),
    once kept_event_stays_in_a_cache_line
        better_in_rust("an event's bit is set by a locked operation across cache lines"),
}
