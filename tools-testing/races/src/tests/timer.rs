// SPDX-License-Identifier: GPL-2.0

//! The singleshot timer: when it fires, and what it leaves.

use super::{
    explore,
    guest::{ioctl, pending},
};
use crate::{
    kvm::{Vcpu, Vm},
    model::{host::Host, vm::Config},
    vcpu::timer::{self, Kind},
};

const PORT: u32 = 5;
/// One that no guest has.
const NO_PORT: u32 = 4096;

/// The present: no two clocks agree.
const HOST: Host = Host {
    kvmclock: 5_000,
    monotonic: 90_000,
    tsc: 700_000,
    ..Host::DEFAULT
};

/// A tick is a nanosecond.
const TOLD: (u32, i8) = (1 << 31, 1);

/// A clock of the guest's that shows `time` at present.
fn clock(time: u64, (mul, shift): (u32, i8)) -> [u64; 4] {
    let scale = u64::from(mul) | u64::from(shift.to_le_bytes()[0]) << 32;
    [0, Host::guest_tsc(HOST.tsc), time, scale]
}

fn explore_on(host: Host, test: impl Fn(Vcpu<'_>) + Sync + Send + 'static) {
    let config = Config {
        ports: &[PORT],
        host,
        ..Config::default()
    };
    // With threads that are timers, which fire whenever they like.
    explore(2, config, move |state| {
        let vcpu = Vm::of(&state).vcpu(0).expect("is there");
        vcpu.set_timer_virq(PORT);
        test(vcpu);
    });
}

fn until(vcpu: Vcpu<'_>, timeout: u64) -> i64 {
    vcpu.run(|cx| timer::until(&mut cx.may_refresh(), vcpu.own(), timeout))
}

fn start(vcpu: Vcpu<'_>, timeout: u64, kind: Kind) {
    vcpu.run(|cx| timer::start(&mut cx.may_refresh(), vcpu.own(), timeout, kind));
}

fn inject(vcpu: Vcpu<'_>) {
    vcpu.run(|cx| timer::inject_pending(&mut cx.may_refresh(), vcpu.own()));
}

#[test]
fn without_a_clock_of_its_own_a_guest_has_that_of_kvm() {
    explore_on(HOST, |vcpu| {
        // A clock that is not a function of the TSC alone.
        vcpu.state().time_info.activate(clock(8_000, TOLD));
        assert_eq!(until(vcpu, 5_007), 7);
        assert_eq!(until(vcpu, 4_900), -100);
        start(vcpu, 5_007, Kind::Exact);
        assert_eq!(vcpu.done().timer_at, Some(90_007));
    });
}

#[test]
fn a_clock_that_was_told_is_the_guests_own() {
    let host = Host {
        told: Some(TOLD),
        ..HOST
    };
    explore_on(host, |vcpu| {
        let (info, time_info) = (&vcpu.state().info, &vcpu.state().time_info);
        let stale = clock(9_000, (1, 0));

        assert_eq!(until(vcpu, 5_007), 7, "it has none");
        info.activate(clock(6_000, TOLD));
        assert_eq!(until(vcpu, 6_007), 7);
        time_info.activate(clock(8_000, TOLD));
        assert_eq!(until(vcpu, 6_007), 7, "both: the first");
        info.activate(stale);
        assert_eq!(until(vcpu, 8_007), 7);
        info.deactivate();
        assert_eq!(until(vcpu, 8_007), 7);
        start(vcpu, 8_007, Kind::Exact);
        assert_eq!(vcpu.done().timer_at, Some(90_007));

        time_info.activate(stale);
        assert_eq!(until(vcpu, 5_007), 7);
    });
}

#[test]
fn a_timeout_that_is_past_fires_at_once() {
    explore_on(HOST, |vcpu| {
        start(vcpu, 5_000, Kind::Exact);
        assert_eq!(vcpu.done().timer_at, None);
        assert!(pending(vcpu.vm(), PORT));
        assert_eq!(vcpu.timer_expires(), 0);
    });
}

#[test]
fn a_timeout_that_overflowed_fires_soon_if_linux_has_set_it() {
    explore_on(HOST, |vcpu| {
        const SOON: i64 = 100_000_000;
        start(vcpu, u64::MAX, Kind::LinuxWorkaround);
        assert_eq!(vcpu.done().timer_at, Some(90_000 + SOON));
        // The moment that it fires at, not the one that was asked for.
        assert!([0, 5_000 + SOON as u64].contains(&vcpu.timer_expires()));
        start(vcpu, 5_009, Kind::LinuxWorkaround);
        assert_eq!(vcpu.done().timer_at, Some(90_009));
    });
}

#[test]
fn a_negative_timeout_of_a_vmm_is_past() {
    explore_on(HOST, |vcpu| {
        start(vcpu, u64::MAX, Kind::Exact);
        assert_eq!(vcpu.done().timer_at, None);
        assert!(pending(vcpu.vm(), PORT));
    });
}

/// The old one, late, must not have the new one look as if it had fired.
#[test]
fn a_timer_that_is_set_again_waits_for_the_old_one() {
    explore_on(HOST, |vcpu| {
        start(vcpu, 6_000, Kind::Exact);
        start(vcpu, 7_000, Kind::Exact);
        let expires = vcpu.timer_expires();
        assert!(expires == 7_000 || vcpu.done().fired == 2);
    });
}

#[test]
fn a_timer_that_is_set_again_forgets_what_the_old_one_left() {
    explore_on(HOST, |vcpu| {
        vcpu.set_timer_expires(4_000);
        vcpu.set_timer_pending(true);
        start(vcpu, 7_000, Kind::Exact);
        assert!(!vcpu.timer_pending(), "it would be delivered at once");
    });
}

#[test]
fn a_timer_that_was_stopped_leaves_nothing() {
    explore_on(HOST, |vcpu| {
        start(vcpu, 6_000, Kind::Exact);
        vcpu.vm().state().shared_info.invalidate();
        vcpu.run(|cx| timer::stop(cx, vcpu.own()));
        let fired = vcpu.done().fired;
        assert_eq!(
            (fired, vcpu.timer_expires(), vcpu.timer_pending()),
            (1, 0, false)
        );
    });
}

#[test]
fn a_timer_has_a_port_and_a_time_or_is_none() {
    explore_on(HOST, |vcpu| {
        let configure = |port, expires| {
            vcpu.run(|cx| timer::configure(&mut cx.may_refresh(), vcpu.own(), port, expires));
            assert_eq!(vcpu.timer_virq(), port);
            vcpu.done().timer_at
        };
        vcpu.set_timer_expires(6_000);
        assert_eq!(configure(0, 6_000), None);
        assert_eq!(vcpu.timer_expires(), 0, "the old one is stopped");
        assert_eq!(configure(PORT, 0), None);
        assert!(!pending(vcpu.vm(), PORT), "a timer at no time");
        assert_eq!(configure(PORT, 6_000), Some(91_000));
    });
}

#[test]
fn a_timer_that_fired_unseen_is_delivered_by_the_vcpu() {
    explore_on(HOST, |vcpu| {
        inject(vcpu);
        assert!(!pending(vcpu.vm(), PORT), "it has not fired");

        vcpu.vm().state().shared_info.invalidate();
        vcpu.set_timer_expires(4_000);
        vcpu.timer_fires();
        assert!(vcpu.timer_pending() && vcpu.take_request());
        assert_eq!(vcpu.timer_expires(), 4_000, "its event is not in the guest");
        vcpu.timer_fires();
        assert!(!vcpu.take_request(), "it was told");
        inject(vcpu);
        assert!(pending(vcpu.vm(), PORT));
        assert_eq!((vcpu.timer_pending(), vcpu.timer_expires()), (false, 0));
        assert_eq!(vcpu.done().timer_at, None);
    });
}

#[test]
fn a_timer_without_shared_info_fires_again_soon() {
    explore_on(HOST, |vcpu| {
        vcpu.vm().state().shared_info.deactivate();
        vcpu.set_timer_expires(4_000);
        vcpu.timer_fires();
        inject(vcpu);
        assert_eq!(vcpu.done().timer_at, Some(90_000 + 10_000_000));
        assert_eq!(vcpu.timer_expires(), 4_000);
    });
}

#[test]
fn a_timer_without_a_port_does_not_fire_again() {
    explore_on(HOST, |vcpu| {
        vcpu.set_timer_virq(NO_PORT);
        vcpu.set_timer_expires(4_000);
        vcpu.set_timer_pending(true);
        inject(vcpu);
        assert_eq!((vcpu.done().timer_at, vcpu.timer_expires()), (None, 0));
    });
}

#[test]
fn a_vmm_is_told_when_it_fires_and_it_still_does() {
    explore_on(HOST, |vcpu| {
        let expires = || ioctl(|cx| timer::expires(cx, vcpu.own()));
        assert_eq!((expires(), vcpu.done().timer_at), (0, None));

        // Set, and stopped in time.
        vcpu.set_timer_expires(6_000);
        assert_eq!(expires(), 6_000);
        assert!(vcpu.done().timer_at.is_some(), "started again");
    });
}

#[test]
fn a_vmm_is_told_of_no_timer_that_fired() {
    explore_on(HOST, |vcpu| {
        vcpu.vm().state().shared_info.invalidate();
        vcpu.set_timer_expires(4_000);
        vcpu.timer_fires();
        assert_eq!(ioctl(|cx| timer::expires(cx, vcpu.own())), 0);
        assert!(pending(vcpu.vm(), PORT), "so that it is not lost");
    });
}
