// SPDX-License-Identifier: GPL-2.0

//! `SCHEDOP_poll` loses no wake-up.

use super::{explore, guest};
use crate::{
    abi::WordSize::Bits64,
    evtchn::poll::{self, Ports},
    kvm::{
        pollers::{place, Count, Polled, Pollers, PLACES},
        Vcpu, Vm,
    },
    model::{
        host::Host,
        vm::{Config, VmState},
        Broken,
    },
};
use loom::thread;
use std::{collections::BTreeSet, sync::Arc};

/// In words of their own.
const PORT: u32 = 5;
const OTHER: u32 = 70;
const NO_TIMEOUT: u64 = 0;

fn config(broken: Option<Broken>) -> Config<'static> {
    Config {
        vcpus: 2,
        ports: &[PORT, OTHER],
        // A poller has them off: the upcall is not what wakes it.
        interrupts: false,
        broken,
        ..Config::default()
    }
}

/// Polls on vCPU 0.
fn poll(vm: Vm<'_>, ports: &[u32], timeout: u64) {
    let numbers: Vec<[u8; 4]> = ports.iter().map(|port| port.to_le_bytes()).collect();
    let ports = Ports::new(&numbers, Bits64).expect("ports that there are");
    let vcpu = vm.vcpu(0).expect("is there");
    vcpu.run(|cx| poll::wait(cx, vcpu.own(), &ports, timeout));
}

/// A vCPU that polls, but does not sleep yet.
fn list(vcpu: Vcpu<'_>, polled: Polled) {
    vcpu.vm().count_poller(vcpu, polled);
    list_as_c(vcpu, polled);
}

/// As C does it, which counts nobody.
fn list_as_c(vcpu: Vcpu<'_>, polled: Polled) {
    vcpu.set_polled(Some(polled));
    vcpu.vm().add_poller(vcpu);
}

/// An event for a vCPU, from a thread.
fn event(state: &Arc<VmState>, port: u32, vcpu: u32) {
    let state = state.clone();
    thread::spawn(move || guest::vmm_sends(Vm::of(&state), port, vcpu));
}

/// Nobody is woken for good if an event is lost, which loom calls a deadlock.
fn one_sender(masked: bool, vcpu: u32, broken: Option<Broken>) {
    explore(3, config(broken), move |state| {
        let vm = Vm::of(&state);
        if masked {
            guest::mask(vm, PORT);
        }
        event(&state, PORT, vcpu);
        poll(vm, &[PORT], NO_TIMEOUT);
        assert!(guest::pending(vm, PORT), "woken for nothing");
        assert!(!vm.may_have_pollers(), "it polls no more");
    });
}

#[test]
fn a_masked_port_wakes() {
    one_sender(true, 0, None);
}

#[test]
fn a_port_of_another_vcpu_wakes() {
    one_sender(false, 1, None);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_poller_that_looks_first_is_found_asleep() {
    one_sender(true, 1, Some(Broken::ListedWhenAsleep));
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_poller_that_looks_first_is_not_counted() {
    one_sender(true, 1, Some(Broken::CountedWhenAsleep));
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_poller_without_a_barrier_is_found_asleep() {
    one_sender(true, 1, Some(Broken::ListedWithoutBarrier));
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_sender_without_a_barrier_is_found_unheard() {
    one_sender(true, 1, Some(Broken::PendingWithoutBarrier));
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_wake_up_without_a_request_is_found_unheard() {
    one_sender(true, 1, Some(Broken::WokenWithoutRequest));
}

#[test]
fn either_of_two_senders_wakes() {
    explore(3, config(None), |state| {
        let vm = Vm::of(&state);
        guest::mask(vm, PORT);
        event(&state, PORT, 0);
        event(&state, OTHER, 1);
        poll(vm, &[PORT, OTHER], NO_TIMEOUT);
        let pending = [PORT, OTHER].map(|port| guest::pending(vm, port));
        assert!(pending.contains(&true), "woken for nothing");
    });
}

#[test]
fn two_senders_to_one_port_wake() {
    explore(3, config(None), |state| {
        let vm = Vm::of(&state);
        for vcpu in [0, 1] {
            event(&state, PORT, vcpu);
        }
        poll(vm, &[PORT], NO_TIMEOUT);
        assert!(guest::pending(vm, PORT), "woken for nothing");
    });
}

#[test]
fn another_port_does_not_wake() {
    explore(2, config(None), |state| {
        let vm = Vm::of(&state);
        // Of a vCPU that does not poll, or the upcall would wake it.
        event(&state, OTHER, 1);
        event(&state, PORT, 1);
        poll(vm, &[PORT], NO_TIMEOUT);
        assert!(guest::pending(vm, PORT), "woken for nothing");
    });
}

#[test]
fn the_timer_wakes_beside_senders_of_another_port() {
    explore(3, config(None), |state| {
        let vm = Vm::of(&state);
        event(&state, OTHER, 1);
        poll(vm, &[PORT], 1);
    });
}

#[test]
fn sender_sender_and_timer_wake() {
    explore(2, config(None), |state| {
        let vm = Vm::of(&state);
        event(&state, PORT, 1);
        event(&state, OTHER, 1);
        poll(vm, &[PORT, OTHER], 1);
    });
}

#[test]
fn only_who_polls_for_a_port_is_woken() {
    explore(0, config(None), |state| {
        let vm = Vm::of(&state);
        let [one, several] = [0, 1].map(|index| vm.vcpu(index).expect("is there"));
        guest::mask(vm, PORT);
        guest::mask(vm, OTHER);

        list(one, Polled::Port(PORT));
        guest::vmm_sends(vm, OTHER, 0);
        assert!(!one.take_request(), "it polls for another port");
        list(several, Polled::Several);
        guest::vmm_sends(vm, PORT, 1);
        assert!(one.take_request() && several.take_request());
        assert!(!vm.may_have_pollers());

        // On the list still, but polling no more.
        guest::clear(vm, PORT);
        vm.add_poller(one);
        one.set_polled(None);
        guest::vmm_sends(vm, PORT, 1);
        assert!(!one.take_request());
    });
}

#[test]
fn pollers_of_one_port_are_all_woken() {
    explore(0, config(None), |state| {
        let vm = Vm::of(&state);
        let vcpus = [0, 1].map(|index| vm.vcpu(index).expect("is there"));
        for polled in [Polled::Port(PORT), Polled::Several] {
            vcpus.map(|vcpu| list(vcpu, polled));
            guest::clear(vm, PORT);
            guest::vmm_sends(vm, PORT, 0);
            assert_eq!(vcpus.map(|vcpu| vcpu.take_request()), [true; 2]);
        }
    });
}

/// Whether a poller of C's is woken.
fn is_c_woken(in_transition: bool) {
    let host = Host {
        in_transition,
        ..Host::DEFAULT
    };
    let config = Config {
        host,
        ..config(None)
    };
    explore(0, config, move |state| {
        let vm = Vm::of(&state);
        let vcpu = vm.vcpu(0).expect("is there");
        list_as_c(vcpu, Polled::Port(PORT));
        guest::mask(vm, PORT);
        guest::vmm_sends(vm, PORT, 1);
        assert_eq!(vcpu.take_request(), in_transition);
    });
}

#[test]
fn pollers_of_c_are_woken_while_there_are_any() {
    is_c_woken(true);
    // None is looked for else.
    is_c_woken(false);
}

#[test]
fn a_count_tells_who_it_is_of_one() {
    let counts = |indices: &[u32]| {
        let mut raw = 0_u64;
        for &index in indices {
            raw = raw.wrapping_add(Count::one_more(index));
        }
        raw
    };
    let nobody = Count::from_raw(0);
    for last in [0, 1, 4095] {
        let raw = counts(&[3, last]);
        assert_eq!(Count::from_raw(raw).or(nobody), Pollers::Any);
        let raw = raw.wrapping_add(Count::one_less(3));
        assert_eq!(Count::from_raw(raw).or(nobody), Pollers::One(last));
        assert_eq!(nobody.or(Count::from_raw(raw)), Pollers::One(last));
        assert_eq!(Count::from_raw(raw).or(Count::from_raw(raw)), Pollers::Any);
        let raw = raw.wrapping_add(Count::one_less(last));
        assert_eq!(Count::from_raw(raw).or(nobody), Pollers::None);
    }
    // The sum wraps, and the number does not.
    let raw = counts(&[4095; 1 << 21]);
    assert_eq!(Count::from_raw(raw).or(nobody), Pollers::Any);
}

#[test]
fn ports_of_a_vm_have_places_of_their_own() {
    let places: BTreeSet<_> = (0..4096)
        .map(|port| place(0xffff_c900_0123_4000, port))
        .collect();
    assert_eq!(places.len(), PLACES);
}

#[test]
fn a_guest_polls_for_ports_that_it_has() {
    let ports = |count: usize, port: u32| {
        let numbers = vec![port.to_le_bytes(); count];
        Ports::new(&numbers, Bits64).is_ok()
    };
    assert!(ports(0, 0) && ports(1, 0) && ports(128, 4095));
    assert!(!ports(129, 1) && !ports(1, 4096) && !ports(2, u32::MAX));
}

/// How long the vCPU polls where nothing happens, if it does.
fn polls_for(timeout: u64, poll_timeout_is_absolute: bool, expected: Option<u64>) {
    let config = Config {
        host: Host {
            kvmclock: 1_000,
            poll_timeout_is_absolute,
            ..Host::DEFAULT
        },
        ..config(None)
    };
    explore(2, config, move |state| {
        let vm = Vm::of(&state);
        poll(vm, &[PORT], timeout);
        let vcpu = vm.vcpu(0).expect("is there");
        assert_eq!(vcpu.done().poll_span, expected);
        // As C leaves it.
        assert!(vcpu.polled() == Polled::Port(0) && !vm.may_have_pollers());
        assert!(
            !vcpu.has_poll_timer(),
            "it would wake it from another sleep"
        );
    });
}

#[test]
fn a_timeout_is_a_span() {
    polls_for(700, false, Some(700));
}

#[test]
fn a_timeout_is_a_moment_where_the_module_is_told_so() {
    polls_for(1_700, true, Some(700));
    polls_for(1_000, true, None);
    polls_for(300, true, None);
}
