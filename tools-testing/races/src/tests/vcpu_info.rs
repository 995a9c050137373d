// SPDX-License-Identifier: GPL-2.0

//! Events on their way to a vCPU whose pages come and go.

use super::{
    explore,
    guest::{self, ioctl},
};
use crate::{
    kvm::Vm,
    model::{
        vm::{Config, VmState},
        Broken,
    },
    vcpu::timer,
};
use loom::thread;
use std::sync::Arc;

/// In words of their own.
const PORT: u32 = 5;
const OTHER: u32 = 70;

fn config(broken: Option<Broken>) -> Config<'static> {
    Config {
        ports: &[PORT, OTHER],
        broken,
        ..Config::default()
    }
}

fn event(state: &Arc<VmState>, port: u32) {
    let state = state.clone();
    thread::spawn(move || guest::vmm_sends(Vm::of(&state), port, 0));
}

fn run(state: &Arc<VmState>, ports: &[u32]) {
    let vcpu = Vm::of(state).vcpu(0).expect("is there");
    guest::run_until_seen(vcpu, ports);
    assert_eq!(
        vcpu.pending_sel(),
        0,
        "what is noted for good keeps it awake"
    );
}

#[test]
fn two_senders_are_both_seen() {
    explore(3, config(None), |state| {
        event(&state, PORT);
        event(&state, OTHER);
        run(&state, &[PORT, OTHER]);
    });
}

fn away(broken: Option<Broken>) {
    explore(3, config(broken), |state| {
        Vm::of(&state)
            .vcpu(0)
            .expect("is there")
            .state()
            .info
            .invalidate();
        event(&state, PORT);
        event(&state, OTHER);
        run(&state, &[PORT, OTHER]);
    });
}

#[test]
fn events_for_a_vcpu_without_its_page_are_seen() {
    away(None);
}

#[test]
#[should_panic(expected = "deadlock")]
fn notes_cleared_as_a_whole_are_found_lost() {
    away(Some(Broken::NotesClearedAsAWhole));
}

#[test]
fn no_event_is_lost_while_vcpu_info_comes_and_goes() {
    explore(3, config(None), |state| {
        let notifier = state.clone();
        thread::spawn(move || {
            let vm = Vm::of(&notifier);
            vm.vcpu(0).expect("is there").state().info.invalidate();
        });
        event(&state, PORT);
        run(&state, &[PORT]);
    });
}

#[test]
fn no_event_is_lost_while_shared_info_comes_and_goes() {
    explore(3, config(None), |state| {
        let notifier = state.clone();
        thread::spawn(move || notifier.shared_info.invalidate());
        event(&state, PORT);
        run(&state, &[PORT]);
    });
}

#[test]
fn a_timer_that_finds_no_page_is_seen() {
    explore(3, config(None), |state| {
        let notifier = state.clone();
        thread::spawn(move || notifier.shared_info.invalidate());
        let vcpu = Vm::of(&state).vcpu(0).expect("is there");
        vcpu.set_timer_virq(PORT);
        vcpu.set_timer_expires(1);
        ioctl(|cx| vcpu.start_timer(cx, 1));
        run(&state, &[PORT]);
        assert_eq!(
            guest::ioctl(|cx| timer::expires(cx, vcpu.own())),
            0,
            "it has fired"
        );
    });
}
