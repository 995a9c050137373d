// SPDX-License-Identifier: GPL-2.0

//! All at once: a poller, two senders, an update of what one of them sends through, and a timer.

use super::{
    explore,
    guest::{self, ioctl},
};
use crate::{
    abi::WordSize::Bits64,
    bindings::KVM_XEN_EVTCHN_UPDATE,
    evtchn::poll::{self, Ports},
    kvm::{Vcpu, Vm},
    model::{
        vm::{Config, VmState},
        Broken,
    },
    vcpu::{info, timer},
};
use loom::thread;
use std::sync::Arc;

/// What the guest sends through, and the VMM updates.
const SENT: u32 = 1;
/// What the VMM sends to.
const OTHER: u32 = 70;
/// Of the singleshot timer, in the first one's word.
const TIMER: u32 = 5;

fn config(broken: Option<Broken>) -> Config<'static> {
    Config {
        vcpus: 2,
        ports: &[SENT, OTHER, TIMER],
        interrupts: false,
        gate: true,
        broken,
        ..Config::default()
    }
}

/// Polls for a port until that is pending. A poll may end before, as KVM has things to do for the
/// vCPU; a guest then polls again.
fn poll_until_pending(vcpu: Vcpu<'_>, port: u32) {
    let numbers = [port.to_le_bytes()];
    let ports = Ports::new(&numbers, Bits64).expect("a port that there is");
    vcpu.run(|cx| {
        while !guest::pending(vcpu.vm(), port) {
            poll::wait(cx, vcpu.own(), &ports, 0);
            vcpu.take_request();
            info::inject_pending_events(cx, vcpu.own());
            timer::inject_pending(&mut cx.may_refresh(), vcpu.own());
            // A poll ends at once as long as `shared_info` is locked: its owner must go on.
            thread::yield_now();
        }
    });
}

/// vCPU 0 polls for `polled`, of which there is one event alone; nothing else wakes it for good.
fn together(preemptions: usize, polled: u32, broken: Option<Broken>) {
    explore(preemptions, config(broken), move |state| {
        let vm = Vm::of(&state);
        let spawn = |f: fn(Vm<'_>)| {
            let state: Arc<VmState> = state.clone();
            thread::spawn(move || f(Vm::of(&state)))
        };
        guest::change(vm, 0, SENT, 0).expect("assigned");
        spawn(|vm| {
            let vcpu = vm.vcpu(1).expect("is there");
            assert_eq!(guest::guest_sends(vcpu, SENT), Some(Ok(())));
        });
        spawn(|vm| guest::vmm_sends(vm, OTHER, 1));
        spawn(|vm| guest::change(vm, KVM_XEN_EVTCHN_UPDATE, SENT, 1).expect("updated"));

        let vcpu = vm.vcpu(0).expect("is there");
        vcpu.set_timer_virq(TIMER);
        vcpu.set_timer_expires(1);
        ioctl(|cx| vcpu.start_timer(cx, 1));
        poll_until_pending(vcpu, polled);
    });
}

#[test]
fn the_sender_that_is_updated_wakes() {
    together(1, SENT, None);
}

#[test]
fn the_other_sender_wakes() {
    together(1, OTHER, None);
}

#[test]
fn the_timer_wakes() {
    together(1, TIMER, None);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_poller_that_looks_first_is_found_asleep() {
    together(1, TIMER, Some(Broken::ListedWhenAsleep));
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_sender_without_a_barrier_is_found_unheard() {
    together(1, SENT, Some(Broken::PendingWithoutBarrier));
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_wake_up_without_a_request_is_found_unheard() {
    together(1, OTHER, Some(Broken::WokenWithoutRequest));
}
