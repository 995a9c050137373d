// SPDX-License-Identifier: GPL-2.0

//! A vCPU's look at its `vcpu_info`, and what it writes there itself.

use super::{explore, guest::take_selectors};
use crate::{
    abi::{vcpu_info::EVTCHN_UPCALL_PENDING, WordSize::Bits32},
    kvm::{task::Asked, Vcpu, Vm},
    model::vm::Config,
    sync::{Anywhere, Ctx},
    vcpu::info,
};
use loom::sync::atomic::Ordering::Relaxed;

/// A test without other threads.
fn alone(config: Config<'static>, test: impl Fn(Vcpu<'_>) + Sync + Send + 'static) {
    explore(0, config, move |state| {
        test(Vm::of(&state).vcpu(0).expect("is there"));
    });
}

/// Sets `evtchn_upcall_pending`, or clears it.
fn set_upcall(vcpu: Vcpu<'_>, pending: bool) {
    let word = vcpu.state().info.word(EVTCHN_UPCALL_PENDING.offset());
    word.store(pending.into(), Relaxed);
}

fn upcall_is_set(vcpu: Vcpu<'_>) -> bool {
    let word = vcpu.state().info.word(EVTCHN_UPCALL_PENDING.offset());
    word.load(Relaxed) != 0
}

fn has_interrupt(vcpu: Vcpu<'_>) -> bool {
    // SAFETY: A question from any context.
    info::has_interrupt(&mut unsafe { Ctx::<Anywhere>::assert() }, Asked(vcpu))
}

fn inject(vcpu: Vcpu<'_>) {
    vcpu.run(|cx| info::inject_pending_events(cx, vcpu.own()));
}

#[test]
fn an_upcall_is_seen_when_there_is_one() {
    alone(Config::default(), |vcpu| {
        for away in [false, true] {
            for pending in [false, true] {
                set_upcall(vcpu, pending);
                if away {
                    vcpu.state().info.invalidate();
                }
                assert_eq!(has_interrupt(vcpu), pending, "away: {away}");
            }
        }
    });
}

/// Else it would sleep with events that it has not looked for.
#[test]
fn a_vcpu_about_to_sleep_comes_back_for_a_page_that_is_away() {
    alone(Config::default(), |vcpu| {
        let about_to_sleep = || vcpu.vm().state().asleep.while_in(|| has_interrupt(vcpu));
        assert!(!about_to_sleep());
        vcpu.state().info.invalidate();
        assert!(about_to_sleep());
        vcpu.state().info.deactivate();
        assert!(about_to_sleep());
    });
}

#[test]
fn without_a_page_there_is_no_upcall() {
    alone(Config::default(), |vcpu| {
        set_upcall(vcpu, true);
        vcpu.state().info.deactivate();
        assert!(!has_interrupt(vcpu));
    });
}

#[test]
fn what_was_noted_is_written_once() {
    alone(Config::default(), |vcpu| {
        let dirty = || vcpu.state().info.dirty.get();
        inject(vcpu);
        assert!(!upcall_is_set(vcpu) && !dirty(), "nothing was noted");

        for word in [0, 5, 31] {
            assert!(!vcpu.test_and_set_pending_sel(word));
        }
        inject(vcpu);
        assert!(upcall_is_set(vcpu));
        assert!(dirty(), "a migration would miss it");
        assert_eq!(vcpu.pending_sel(), 0);
        assert_eq!(take_selectors(vcpu), 1 << 0 | 1 << 5 | 1 << 31);
        inject(vcpu);
        assert!(!upcall_is_set(vcpu), "it was written");
        assert_eq!(vcpu.done().interrupts, 0, "it has no vector of its own");
    });
}

#[test]
fn what_was_noted_stays_until_there_is_a_page() {
    alone(Config::default(), |vcpu| {
        vcpu.test_and_set_pending_sel(3);
        vcpu.state().info.deactivate();
        inject(vcpu);
        assert_eq!(vcpu.pending_sel(), 1 << 3);
        vcpu.state().info.activate([0; 4]);
        inject(vcpu);
        assert_eq!((vcpu.pending_sel(), take_selectors(vcpu)), (0, 1 << 3));
    });
}

#[test]
fn a_vcpu_with_a_vector_is_interrupted_for_what_was_noted() {
    let config = Config {
        upcall_vector: 0x30,
        ..Config::default()
    };
    alone(config, |vcpu| {
        inject(vcpu);
        assert_eq!(vcpu.done().interrupts, 0, "nothing was noted");
        vcpu.test_and_set_pending_sel(1);
        inject(vcpu);
        assert_eq!(vcpu.done().interrupts, 1);
    });
}

#[test]
fn words_that_a_guest_of_32_bits_has_not_are_dropped() {
    let config = Config {
        word_size: Bits32,
        upcall_vector: 0x30,
        ..Config::default()
    };
    alone(config, |vcpu| {
        vcpu.test_and_set_pending_sel(40);
        inject(vcpu);
        assert_eq!(vcpu.pending_sel(), 0, "it would never sleep");
        assert!(!upcall_is_set(vcpu));
        assert_eq!(vcpu.done().interrupts, 0);

        vcpu.test_and_set_pending_sel(40);
        vcpu.test_and_set_pending_sel(31);
        inject(vcpu);
        assert_eq!((vcpu.pending_sel(), take_selectors(vcpu)), (0, 1 << 31));
        assert_eq!(vcpu.done().interrupts, 1);
    });
}
