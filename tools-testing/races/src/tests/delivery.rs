// SPDX-License-Identifier: GPL-2.0

//! What becomes of an event, and what the sender is told.

use super::{
    explore,
    guest::{clear, ioctl, mask, pending, take_selectors},
};
use crate::{
    abi::WordSize::{Bits32, Bits64},
    evtchn::{
        deliver::{deliver, Delivery},
        port::Port,
        route, send,
    },
    kvm::{pollers::Polled, routing::Route, uapi::PRIO_2LEVEL, Target, Vcpu, Vm},
    model::{vcpu::id_of, vm::Config},
    prelude::*,
    sync::{Anywhere, Ctx, SetIrq},
};

/// In the same word, and one in another.
const PORT: u32 = 5;
const NEAR: u32 = 6;
const FAR: u32 = 70;

/// What the numbers are that KVM has.
const RAISED: i32 = 1;
const COALESCED: i32 = 0;
const AGAIN: i32 = -11;
const INVALID: i32 = -22;
const MASKED: i32 = -107;

fn config() -> Config<'static> {
    Config {
        vcpus: 2,
        ports: &[PORT, NEAR, FAR],
        ..Config::default()
    }
}

/// A test without other threads, where nothing has happened yet.
fn alone(config: Config<'static>, test: impl Fn(Vm<'_>, Vcpu<'_>) + Sync + Send + 'static) {
    explore(0, config, move |state| {
        let vm = Vm::of(&state);
        test(vm, vm.vcpu(0).expect("is there"));
    });
}

/// A route to vCPU 0.
fn to(port: u32) -> Route {
    Route {
        port,
        target: Target::by_id(id_of(0)),
        priority: PRIO_2LEVEL,
    }
}

/// Where nothing can be waited for.
fn at_once(vm: Vm<'_>, to: Route) -> i32 {
    // SAFETY: A thread of the test is inside of nothing.
    let mut cx = unsafe { Ctx::<Anywhere>::assert() };
    route::set_inatomic(&mut cx, vm, to).into_raw()
}

/// Where the page can be waited for.
fn waiting(vm: Vm<'_>, to: Route) -> i32 {
    // SAFETY: As above.
    let mut cx = unsafe { Ctx::<SetIrq>::assert() };
    route::set(&mut cx, vm, to).into_raw()
}

#[test]
fn a_number_says_what_became_of_it() {
    alone(config(), |vm, vcpu| {
        mask(vm, FAR);
        assert_eq!(at_once(vm, to(PORT)), RAISED);
        assert_eq!(at_once(vm, to(PORT)), COALESCED);
        assert_eq!(at_once(vm, to(FAR)), MASKED);
        assert!(pending(vm, PORT) && pending(vm, FAR));
        assert_eq!(take_selectors(vcpu), 1, "the word of the one not masked");

        for wrong in [4096, u32::MAX] {
            assert_eq!(at_once(vm, to(wrong)), INVALID);
        }
        let nobody = Target::by_id(id_of(2));
        assert_eq!(
            at_once(
                vm,
                Route {
                    target: nobody,
                    ..to(NEAR)
                }
            ),
            INVALID
        );
        assert!(!pending(vm, NEAR));
    });
}

#[test]
fn many_pollers_are_left_to_a_task() {
    let config = Config {
        vcpus: 10,
        ..config()
    };
    alone(config, |vm, vcpu| {
        let poll = |index| {
            let vcpu = vm.vcpu(index).expect("is there");
            vcpu.set_polled(Some(Polled::Port(FAR)));
            vm.count_poller(vcpu, Polled::Port(FAR));
            vm.add_poller(vcpu);
        };
        (1..9).for_each(poll);
        assert_eq!(at_once(vm, to(FAR)), RAISED);
        assert!(clear(vm, FAR) && !vm.may_have_pollers());

        (1..10).for_each(poll);
        assert_eq!(at_once(vm, to(FAR)), AGAIN);
        assert!(!pending(vm, FAR));
        assert_eq!(at_once(vm, to(PORT)), RAISED, "nobody polls for it");
        vcpu.set_timer_virq(FAR);
        vcpu.timer_fires();
        assert!(vcpu.timer_pending() && !pending(vm, FAR));
        assert_eq!(waiting(vm, to(FAR)), RAISED);
    });
}

#[test]
fn the_vcpu_that_an_event_is_for_is_woken_before_pollers() {
    alone(config(), |vm, _| {
        let poller = vm.vcpu(1).expect("is there");
        poller.set_polled(Some(Polled::Several));
        vm.count_poller(poller, Polled::Several);
        vm.add_poller(poller);
        assert_eq!(at_once(vm, to(PORT)), RAISED);
        assert_eq!(*vm.state().woken.lock().expect("never poisoned"), [0, 1]);
    });
}

#[test]
fn pending_and_masked_are_no_errors_and_all_else_is() {
    alone(config(), |vm, vcpu| {
        let result = |port| {
            let target = Target::by_id(id_of(0));
            let port = Port::new(port, vm.word_size()).expect("a port of the guest's");
            vcpu.run(|cx| deliver(&mut cx.may_refresh(), vm, port, target, None).result())
        };
        mask(vm, FAR);
        assert_eq!([PORT, PORT, FAR].map(result), [Ok(()); 3]);
        assert_eq!(Delivery::failed(EEXIST).result(), Err(EEXIST));
    });
}

#[test]
fn a_guest_of_32_bits_has_its_own_words() {
    let config = Config {
        word_size: Bits32,
        ..config()
    };
    alone(config, |vm, vcpu| {
        assert_eq!(at_once(vm, to(FAR)), RAISED);
        assert!(pending(vm, FAR));
        assert_eq!(take_selectors(vcpu), 1 << (FAR / 32));
        assert_eq!(at_once(vm, to(1024)), INVALID);
    });
}

#[test]
fn a_vcpu_is_told_of_a_word_once() {
    alone(config(), |vm, vcpu| {
        assert_eq!(at_once(vm, to(PORT)), RAISED);
        assert!(vcpu.take_request());
        assert_eq!(at_once(vm, to(NEAR)), RAISED);
        assert!(!vcpu.take_request(), "it was told of the word");
        assert_eq!(at_once(vm, to(FAR)), RAISED);
        assert!(vcpu.take_request());
        assert_eq!(vcpu.done().interrupts, 0, "it has no vector of its own");
    });
}

#[test]
fn a_vcpu_is_interrupted_by_its_own_vector() {
    let config = Config {
        upcall_vector: 0x30,
        ..config()
    };
    alone(config, |vm, vcpu| {
        assert_eq!(at_once(vm, to(PORT)), RAISED);
        assert_eq!(vcpu.done().interrupts, 1);
        assert_eq!(at_once(vm, to(NEAR)), RAISED);
        assert_eq!(vcpu.done().interrupts, 1, "it was told of the word");
        let other = vm.vcpu(1).expect("is there");
        assert_eq!((other.done().interrupts, take_selectors(other)), (0, 0));
    });
}

#[test]
fn a_vcpu_without_its_page_is_told_of_a_word_once() {
    alone(config(), |vm, vcpu| {
        vcpu.state().info.invalidate();
        assert_eq!(at_once(vm, to(PORT)), RAISED);
        assert!(vcpu.take_request());
        assert_eq!(at_once(vm, to(NEAR)), RAISED);
        assert!(!vcpu.take_request(), "it was noted");
        assert_eq!(at_once(vm, to(FAR)), RAISED);
        assert!(vcpu.take_request());
        assert_eq!(vcpu.pending_sel(), 1 | 1 << Bits64.word_of(FAR));
        assert!([PORT, NEAR, FAR].iter().all(|&port| pending(vm, port)));
    });
}

#[test]
fn a_page_that_is_away_is_waited_for_where_that_can_be() {
    alone(config(), |vm, vcpu| {
        let shared_info = &vm.state().shared_info;
        shared_info.invalidate();
        assert_eq!(at_once(vm, to(PORT)), AGAIN);
        assert!(!pending(vm, PORT));
        assert_eq!(waiting(vm, to(PORT)), RAISED);
        assert_eq!(waiting(vm, to(PORT)), COALESCED);

        shared_info.invalidate();
        let in_section = |port| {
            let port = Port::new(port, vm.word_size()).expect("a port of the guest's");
            let target = Target::of(vcpu);
            vcpu.run(|cx| deliver(&mut cx.may_refresh(), vm, port, target, Some(vcpu)).into_raw())
        };
        assert_eq!(in_section(NEAR), RAISED);
        assert!(pending(vm, NEAR));

        shared_info.deactivate();
        assert_eq!(at_once(vm, to(FAR)), AGAIN);
        assert_eq!([waiting(vm, to(FAR)), in_section(FAR)], [INVALID; 2]);
        assert!(!pending(vm, FAR));
    });
}

#[test]
fn a_vmm_sends_to_ports_that_there_are() {
    alone(config(), |vm, vcpu| {
        let sends = |route| ioctl(|cx| send::from_vmm(cx, vm, route));
        assert_eq!(sends(to(0)), Err(EINVAL));
        assert_eq!(sends(to(4096)), Err(EINVAL));
        assert_eq!(
            sends(Route {
                priority: 0,
                ..to(PORT)
            }),
            Err(EINVAL)
        );
        assert!(!pending(vm, PORT));
        assert_eq!(sends(to(PORT)), Ok(()));
        assert!(pending(vm, PORT) && take_selectors(vcpu) == 1);
    });
}

#[test]
fn a_route_is_completed_when_it_is_made() {
    alone(config(), |vm, _| {
        let setup = |route| route::setup(vm, route).map(|route| (route.port, route.target));
        assert!(setup(Route {
            priority: 0,
            ..to(PORT)
        })
        .is_err());
        let (port, target) = setup(to(PORT)).unwrap_or_else(|_| panic!("a good route"));
        assert_eq!(
            (port, target.id(), target.index()),
            (PORT, id_of(0), Some(0))
        );

        // All of which may come later.
        let later = Route {
            target: Target::by_id(id_of(2)),
            ..to(u32::MAX)
        };
        let (port, target) = setup(later).unwrap_or_else(|_| panic!("a route for later"));
        assert_eq!(
            (port, target.id(), target.index()),
            (u32::MAX, id_of(2), None)
        );
    });
}
