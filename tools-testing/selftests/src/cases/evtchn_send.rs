// SPDX-License-Identifier: GPL-2.0
//! KVM_XEN_HVM_EVTCHN_SEND: which bits it sets in shared_info and vcpu_info,
//! and that it touches no other byte.

use std::hint::spin_loop;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::topic;
use harness::abi::Abi;
use harness::check::check_err;
use harness::ioctl::raw;
use harness::machine::{Machine, SHARED_INFO_PAGE};
use harness::outcome::{fail, Outcome, Stop};
use harness::snapshot::Snapshot;

/// Its pending bit, its word's selector, and the request for an upcall.
fn unmasked_port_sets_all_three_levels(abi: Abi) -> Outcome {
    let machine = Machine::new(abi)?;
    let mut expected = machine.image();
    for port in [5, abi.word_bits() + 1, abi.ports() - 1] {
        expected.deliver(0, port);
        machine.vm.send(port, 0)?;
        expected.check(&machine.area)?;
    }
    Ok(())
}

/// Only its pending bit: the guest looks at it when it unmasks the port.
fn masked_port_sets_only_the_pending_bit(abi: Abi) -> Outcome {
    let machine = Machine::new(abi)?;
    machine.shared_info().set_masked(5, true);
    let mut expected = machine.image();
    expected.shared_info().set_pending(5, true);
    machine.vm.send(5, 0)?;
    expected.check(&machine.area)
}

/// A port that is pending already: its event is coalesced with the first.
fn pending_port_changes_nothing(abi: Abi) -> Outcome {
    let machine = Machine::new(abi)?;
    for masked in [false, true] {
        machine.clear_events();
        machine.shared_info().set_pending(70, true);
        machine.shared_info().set_masked(70, masked);
        let before = machine.image();
        machine.vm.send(70, 0)?;
        before.check(&machine.area)?;
    }
    Ok(())
}

/// The guest has not yet looked at the word: it needs no second upcall.
fn selector_already_set_needs_no_upcall(abi: Abi) -> Outcome {
    let machine = Machine::new(abi)?;
    machine.vcpu_info(0).set_pending_sel(1);
    let mut expected = machine.image();
    expected.shared_info().set_pending(5, true);
    machine.vm.send(5, 0)?;
    expected.check(&machine.area)
}

/// Another word's selector does not stand for this one.
fn selector_of_another_word_does_not_count(abi: Abi) -> Outcome {
    let machine = Machine::new(abi)?;
    machine.vcpu_info(0).set_pending_sel(!1);
    let mut expected = machine.image();
    expected.deliver(0, 5);
    machine.vm.send(5, 0)?;
    expected.check(&machine.area)
}

/// The guest's mask of upcalls is its own affair.
fn upcall_mask_makes_no_difference(abi: Abi) -> Outcome {
    let machine = Machine::new(abi)?;
    machine.vcpu_info(0).set_upcall_mask(1);
    let mut expected = machine.image();
    expected.deliver(0, 5);
    machine.vm.send(5, 0)?;
    expected.check(&machine.area)
}

/// A port of each word, at a different bit each time.
fn every_word_has_its_selector(abi: Abi) -> Outcome {
    let machine = Machine::new(abi)?;
    let mut expected = machine.image();
    for word in 0..abi.word_bits() {
        let bit = (word * 7 + 1) % abi.word_bits();
        let port = word * abi.word_bits() + bit;
        expected.deliver(0, port);
        machine.vm.send(port, 0)?;
        expected.check(&machine.area)?;
    }
    Ok(())
}

/// All other ports pending or masked, or none: they stay so.
fn neighbours_keep_their_bits(abi: Abi) -> Outcome {
    let machine = Machine::new(abi)?;
    let middle = abi.ports() / 2;
    for (pending, mask) in [(0, 0), (0xff, 0), (0, 0xff), (0xff, 0xff), (0x55, 0xaa)] {
        for port in [1, 8, middle - 1, middle, abi.ports() - 1] {
            machine.clear_events();
            machine.shared_info().fill_bitmaps(pending, mask);
            machine.shared_info().set_pending(port, false);
            machine.shared_info().set_masked(port, false);
            let mut expected = machine.image();
            expected.deliver(0, port);
            machine.vm.send(port, 0)?;
            expected.check(&machine.area)?;
        }
    }
    Ok(())
}

/// The first and last ports there are, and those beyond them.
fn ports_at_the_edges(abi: Abi) -> Outcome {
    let machine = Machine::new(abi)?;
    for port in [0, 1, 1023, 1024, 4095, 4096, 1 << 31, u32::MAX] {
        machine.clear_events();
        let mut expected = machine.image();
        let result = machine.vm.send(port, 0);
        if port == 0 || port >= abi.ports() {
            check_err(format!("port {port}"), result, Errno::EINVAL)?;
        } else {
            expected.deliver(0, port);
            result?;
        }
        expected.check(&machine.area)?;
    }
    Ok(())
}

/// FIFO event channels, which have other priorities, are not there.
fn other_priorities_are_einval(abi: Abi) -> Outcome {
    let machine = Machine::new(abi)?;
    let before = Snapshot::of(&machine);
    for priority in [0, 1, 7, u32::MAX - 1] {
        let result = machine.vm.send_with_priority(5, 0, priority);
        check_err(format!("priority {priority}"), result, Errno::EINVAL)?;
        before.check(&machine)?;
    }
    Ok(())
}

/// vCPUs that don't exist.
fn missing_vcpu_is_einval(abi: Abi) -> Outcome {
    let machine = Machine::builder(abi).vcpus(&[0, 3]).build()?;
    let before = Snapshot::of(&machine);
    for vcpu in [1, 2, 4, 1 << 20, u32::MAX] {
        let result = machine.vm.send(5, vcpu);
        check_err(format!("vCPU {vcpu}"), result, Errno::EINVAL)?;
        before.check(&machine)?;
    }
    Ok(())
}

/// Nowhere to set the bit. (In 7.2, C has the right answer but also trips a
/// WARN_ON_ONCE in pfncache.c if shared_info was never set in this VM.)
fn missing_shared_info_is_einval(abi: Abi) -> Outcome {
    let machine = Machine::builder(abi).without_shared_info().build()?;
    let before = Snapshot::of(&machine);
    check_err("send", machine.vm.send(5, 0), Errno::EINVAL)?;
    before.check(&machine)
}

/// An event that can't be copied in.
fn bad_pointer_is_efault() -> Outcome {
    let machine = Machine::new(Abi::Bits64)?;
    let before = Snapshot::of(&machine);
    let nowhere = ptr::without_provenance(8);
    // SAFETY: the kernel checks the pointer, which is what the case is about.
    let result = unsafe { raw::xen_hvm_evtchn_send(machine.vm.fd.as_raw_fd(), nowhere) };
    check_err("send", result, Errno::EFAULT)?;
    before.check(&machine)
}

/// vCPUs are named by APIC id, which need not be their index.
fn the_right_vcpu_is_told(abi: Abi) -> Outcome {
    let ids = [0, 2, 5, 1];
    let machine = Machine::builder(abi).vcpus(&ids).build()?;
    for (index, id) in ids.into_iter().enumerate() {
        machine.clear_events();
        let mut expected = machine.image();
        expected.deliver(index, 100 + id);
        machine.vm.send(100 + id, id)?;
        expected.check(&machine.area)?;
    }
    Ok(())
}

/// A port that one vCPU was told of is pending for all.
fn pending_at_one_vcpu_is_pending_for_all(abi: Abi) -> Outcome {
    let machine = Machine::builder(abi).vcpus(&[0, 1]).build()?;
    let mut expected = machine.image();
    expected.deliver(0, 9);
    machine.vm.send(9, 0)?;
    machine.vm.send(9, 1)?;
    expected.check(&machine.area)
}

/// vCPUs have selectors of their own for the same word.
fn vcpus_have_their_own_selectors(abi: Abi) -> Outcome {
    let machine = Machine::builder(abi).vcpus(&[0, 1]).build()?;
    let mut expected = machine.image();
    expected.deliver(0, 9);
    expected.deliver(1, 10);
    machine.vm.send(9, 0)?;
    machine.vm.send(10, 1)?;
    expected.check(&machine.area)
}

/// shared_info and vcpu_info by address in place of guest frame.
fn delivered_to_structures_given_by_hva(abi: Abi) -> Outcome {
    let machine = Machine::builder(abi)
        .without_shared_info()
        .without_vcpu_info()
        .build()?;
    let place = machine.place(0);
    let hva = machine.area.hva(SHARED_INFO_PAGE, 0);
    machine.vm.set_shared_info_hva(hva)?;
    machine.vcpus[0].set_vcpu_info_hva(machine.area.hva(place.page, place.offset))?;
    let mut expected = machine.image();
    expected.deliver(0, 1023);
    machine.vm.send(1023, 0)?;
    expected.check(&machine.area)
}

/// Threads that set bits of the same words at once: every bit must stay.
fn concurrent_senders_lose_no_bit(abi: Abi) -> Outcome {
    const DURATION: Duration = Duration::from_millis(700);
    let machine = Machine::new(abi)?;
    let (vm, ports) = (&machine.vm, 1..abi.ports());
    // More threads than CPUs would not run at once.
    let senders = thread::available_parallelism()?.get().clamp(2, 4);
    let start = Instant::now();
    while start.elapsed() < DURATION {
        machine.clear_events();
        let mut expected = machine.image();
        ports.clone().for_each(|port| expected.deliver(0, port));
        let (ready, ports) = (&AtomicUsize::new(0), &ports);
        thread::scope(|scope| {
            let send = move |first: usize| {
                // A common start, as they must meet in the same words.
                ready.fetch_add(1, Ordering::Relaxed);
                while ready.load(Ordering::Relaxed) < senders {
                    spin_loop();
                }
                let mut own = ports.clone().skip(first).step_by(senders);
                own.try_for_each(|port| vm.send(port, 0))
            };
            let threads: Vec<_> = (0..senders)
                .map(|first| scope.spawn(move || send(first)))
                .collect();
            for thread in threads {
                let sent = thread.join().map_err(|_| fail("a thread panicked"))?;
                sent?;
            }
            Ok::<_, Stop>(())
        })?;
        expected.check(&machine.area)?;
    }
    Ok(())
}

/// The layout is that of the moment at which the event is sent.
fn long_mode_decides_the_layout_at_once(abi: Abi) -> Outcome {
    let other = abi.other();
    let mut machine = Machine::new(abi)?;
    machine.vm.set_long_mode(other.long_mode())?;
    machine.abi = other;
    machine.clear_events();
    let mut expected = machine.image();
    for port in [40, 1000] {
        expected.deliver(0, port);
        machine.vm.send(port, 0)?;
    }
    expected.check(&machine.area)
}

topic! { "evtchn_send";
    each_abi unmasked_port_sets_all_three_levels,
    each_abi masked_port_sets_only_the_pending_bit,
    each_abi pending_port_changes_nothing,
    each_abi selector_already_set_needs_no_upcall,
    each_abi selector_of_another_word_does_not_count,
    each_abi upcall_mask_makes_no_difference,
    each_abi every_word_has_its_selector,
    each_abi neighbours_keep_their_bits,
    each_abi ports_at_the_edges,
    each_abi other_priorities_are_einval,
    each_abi missing_vcpu_is_einval,
    each_abi missing_shared_info_is_einval,
    once bad_pointer_is_efault,
    each_abi the_right_vcpu_is_told,
    each_abi pending_at_one_vcpu_is_pending_for_all,
    each_abi vcpus_have_their_own_selectors,
    each_abi delivered_to_structures_given_by_hva,
    each_abi concurrent_senders_lose_no_bit,
    each_abi long_mode_decides_the_layout_at_once,
}
