// SPDX-License-Identifier: GPL-2.0

//! Changes of the table of senders, beside guests that send.

use super::{explore, guest};
use crate::{
    bindings::{
        EVTCHNSTAT_interdomain, KVM_XEN_EVTCHN_DEASSIGN, KVM_XEN_EVTCHN_RESET,
        KVM_XEN_EVTCHN_UPDATE,
    },
    evtchn::ports,
    kvm::{uapi::EvtchnAttr, Vcpu, Vm},
    model::{
        host::Host,
        vm::{Config, VmState},
        Broken,
    },
    prelude::*,
};
use loom::thread;
use std::sync::Arc;

const PORT: u32 = 1;
const ASSIGN: u32 = 0;

fn config(broken: Option<Broken>) -> Config<'static> {
    Config {
        vcpus: 2,
        ports: &[PORT],
        gate: true,
        grace_periods: true,
        broken,
        ..Config::default()
    }
}

/// As it should be, on this host.
fn on(host: Host) -> Config<'static> {
    Config {
        host,
        ..config(None)
    }
}

/// vCPU 0 sends through a port that is bound to itself.
fn sender(state: &Arc<VmState>) -> thread::JoinHandle<()> {
    sender_by(state, guest::guest_sends)
}

/// As above, in C.
fn sender_in_c(state: &Arc<VmState>) -> thread::JoinHandle<()> {
    sender_by(state, guest::guest_sends_by_c)
}

fn sender_by(
    state: &Arc<VmState>,
    sends: fn(Vcpu<'_>, u32) -> Option<Result>,
) -> thread::JoinHandle<()> {
    let state = state.clone();
    thread::spawn(move || {
        let vcpu = Vm::of(&state).vcpu(0).expect("is there");
        let sent = sends(vcpu, PORT);
        assert!(sent.is_none_or(|sent| sent.is_ok()));
    })
}

fn update(broken: Option<Broken>) {
    explore(3, config(broken), |state| {
        let vm = Vm::of(&state);
        let [old, new] = [0, 1].map(|index| vm.vcpu(index).expect("is there"));
        guest::change(vm, ASSIGN, PORT, 0).expect("assigned");
        let sender = sender(&state);
        guest::change(vm, KVM_XEN_EVTCHN_UPDATE, PORT, 1).expect("updated");

        // The guest takes what is there by now, so that whatever comes is seen.
        guest::clear(vm, PORT);
        guest::take_selectors(old);
        assert!(guest::guest_sends(new, PORT).is_some_and(|sent| sent.is_ok()));
        sender.join().expect("sent");
        assert_eq!(guest::take_selectors(old), 0, "an event for the old vCPU");
        assert_eq!(guest::take_selectors(new), 1, "none for the new one");
    });
}

#[test]
fn update_leaves_nothing_at_the_old_vcpu() {
    update(None);
}

#[test]
#[should_panic(expected = "an event for the old vCPU")]
fn an_update_that_does_not_wait_is_found_wrong() {
    update(Some(Broken::Gate));
}

fn assignment(broken: Option<Broken>) {
    explore(3, config(broken), |state| {
        let sender = sender(&state);
        guest::change(Vm::of(&state), ASSIGN, PORT, 0).expect("assigned");
        sender.join().expect("sent, or not");
    });
}

#[test]
fn a_port_is_assigned_beside_a_sender() {
    assignment(None);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_sender_published_without_order_is_found_torn() {
    assignment(Some(Broken::PublishedWithoutOrder));
}

fn removal(flags: u32, broken: Option<Broken>) {
    removal_beside(sender, flags, config(broken));
}

fn removal_beside(
    sender: fn(&Arc<VmState>) -> thread::JoinHandle<()>,
    flags: u32,
    config: Config<'static>,
) {
    explore(3, config, move |state| {
        let vm = Vm::of(&state);
        let vcpu = vm.vcpu(0).expect("is there");
        guest::change(vm, ASSIGN, PORT, 0).expect("assigned");
        let sender = sender(&state);
        guest::change(vm, flags, PORT, 0).expect("removed");

        guest::clear(vm, PORT);
        guest::take_selectors(vcpu);
        sender.join().expect("sent, or not");
        assert!(!guest::pending(vm, PORT), "an event through no port");
        assert_eq!(guest::take_selectors(vcpu), 0, "an event through no port");
        assert!(guest::guest_sends(vcpu, PORT).is_none());
    });
}

#[test]
fn deassign_waits_for_senders() {
    removal(KVM_XEN_EVTCHN_DEASSIGN, None);
}

#[test]
fn reset_waits_for_senders() {
    removal(KVM_XEN_EVTCHN_RESET, None);
}

#[test]
#[should_panic(expected = "an event through no port")]
fn a_deassign_that_does_not_wait_is_found_wrong() {
    removal(KVM_XEN_EVTCHN_DEASSIGN, Some(Broken::Gate));
}

#[test]
#[should_panic(expected = "an event through no port")]
fn a_reset_that_does_not_wait_is_found_wrong() {
    removal(KVM_XEN_EVTCHN_RESET, Some(Broken::Gate));
}

/// In a transition, beside a sender in C.
fn reset_in_a_transition(broken: Option<Broken>) {
    let host = Host {
        in_transition: true,
        ..Host::DEFAULT
    };
    let config = Config {
        host,
        ..config(broken)
    };
    removal_beside(sender_in_c, KVM_XEN_EVTCHN_RESET, config);
}

#[test]
fn reset_in_a_transition_waits_for_senders_in_c() {
    reset_in_a_transition(None);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_reset_without_a_grace_period_is_found_freed() {
    reset_in_a_transition(Some(Broken::GracePeriod));
}

#[test]
#[should_panic(expected = "an event through no port")]
fn a_reset_that_does_not_wait_in_a_transition_is_found_wrong() {
    reset_in_a_transition(Some(Broken::Leaked));
}

/// C does not pass the gate.
#[test]
fn deassign_in_a_transition_waits_for_senders_in_c() {
    let config = on(Host {
        in_transition: true,
        ..Host::DEFAULT
    });
    removal_beside(sender_in_c, KVM_XEN_EVTCHN_DEASSIGN, config);
}

#[test]
#[should_panic(expected = "an event through no port")]
fn a_deassign_that_knows_of_no_transition_is_found_wrong() {
    removal_beside(sender_in_c, KVM_XEN_EVTCHN_DEASSIGN, config(None));
}

#[test]
fn deassign_without_memory_waits_for_senders() {
    let config = on(Host {
        out_of_memory: true,
        ..Host::DEFAULT
    });
    removal_beside(sender, KVM_XEN_EVTCHN_DEASSIGN, config);
}

#[test]
fn what_was_removed_is_freed_some_time() {
    for flags in [KVM_XEN_EVTCHN_DEASSIGN, KVM_XEN_EVTCHN_RESET] {
        for in_transition in [false, true] {
            let config = on(Host {
                in_transition,
                ..Host::DEFAULT
            });
            explore(2, config, move |state| {
                let vm = Vm::of(&state);
                guest::change(vm, ASSIGN, PORT, 0).expect("assigned");
                guest::change(vm, flags, PORT, 0).expect("removed");
                // loom ends a test in which this has no end.
                while state.table.unfreed() != 0 {
                    thread::yield_now();
                }
            });
        }
    }
}

/// Which are not signalled inside the gate.
#[test]
fn deassign_waits_for_senders_to_eventfds() {
    explore(3, config(None), |state| {
        let vm = Vm::of(&state);
        let eventfd = EvtchnAttr {
            kind: EVTCHNSTAT_interdomain,
            port: 0,
            ..guest::ipi(ASSIGN, PORT, 0)
        };
        guest::ioctl(|cx| ports::change(cx, vm, &eventfd)).expect("assigned");
        let sender = sender(&state);
        guest::change(vm, KVM_XEN_EVTCHN_DEASSIGN, PORT, 0).expect("removed");
        let signals = vm.state().table.signals();
        sender.join().expect("sent, or not");
        assert_eq!(vm.state().table.signals(), signals, "a signal afterwards");
    });
}
