// SPDX-License-Identifier: GPL-2.0

//! The singleshot timer of a vCPU, whose event comes in through a port.

use crate::{
    abi::{
        pvclock::{linux_workaround, Scale, WORDS},
        vcpu_info,
    },
    evtchn::{
        deliver::{deliver, try_deliver, Delivery},
        poll,
        port::Port,
    },
    kvm::{clock, timers::TimerState, OwnVcpu, Target, Vcpu},
    prelude::*,
    sync::{
        barrier::smp_rmb, order::KvmSrcu, Ctx, InVmMm, MayDeliver, MayEnter, MayRefresh, MaySleep,
        MayWake, TimerHardIrq,
    },
    trace,
};

/// What a timeout is measured by, and whether Xen's workaround for Linux is applied to it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `VCPUOP_set_singleshot_timer`, or a VMM: as given.
    Exact,
    /// `set_timer_op`: a timeout that overflowed fires soon.
    LinuxWorkaround,
}

/// A moment in both the guest's and the host's time, in nanoseconds.
struct Now {
    guest: u64,
    host: i64,
}

/// The present, by the guest's own clock where that can be read.
fn now(cx: &mut Ctx<'_, MayRefresh>, vcpu: OwnVcpu<'_>) -> Now {
    match guest_clock(cx, vcpu) {
        Some(scale) => {
            let (host, tsc) = clock::monotonic_and_tsc();
            Now {
                guest: scale.system_time(vcpu.guest_tsc(tsc)),
                host,
            }
        }
        // The guest has no clock yet, or not one that only depends on the TSC. KVM's own drifts
        // from it over time, but there is nothing better.
        None => Now {
            guest: clock::kvmclock_ns(vcpu.vm()),
            host: clock::monotonic_ns(),
        },
    }
}

/// What the guest computes its time by: it is current so in two places, of which either may be away
/// or stale.
fn guest_clock(cx: &mut Ctx<'_, MayRefresh>, vcpu: OwnVcpu<'_>) -> Option<Scale> {
    if !vcpu.has_master_clock() {
        return None;
    }
    let current = |words: Result<[u64; 4]>| {
        let scale = Scale::from_words(words.ok()?);
        vcpu.is_current(&scale).then_some(scale)
    };
    if vcpu.vcpu_info().is_active() {
        let words = vcpu
            .vcpu_info()
            .read(cx)
            .map(|info| info.load_words(&vcpu_info::TIME));
        if let Some(scale) = current(words) {
            return Some(scale);
        }
    }
    if vcpu.time_info().is_active() {
        return current(
            vcpu.time_info()
                .read(cx)
                .map(|info| info.load_words(&WORDS)),
        );
    }
    None
}

/// How far ahead of the present the system time `timeout` is, in nanoseconds; negative if past.
pub(crate) fn until(cx: &mut Ctx<'_, MayRefresh>, vcpu: OwnVcpu<'_>, timeout: u64) -> i64 {
    timeout.wrapping_sub(now(cx, vcpu).guest) as i64
}

/// Has the timer fire at the system time `timeout`, at once if that is past. May sleep.
pub(crate) fn start(cx: &mut Ctx<'_, MayRefresh>, vcpu: OwnVcpu<'_>, mut timeout: u64, kind: Kind) {
    let now = now(cx, vcpu);
    let mut delta = timeout.wrapping_sub(now.guest) as i64;
    if kind == Kind::LinuxWorkaround {
        let moved = linux_workaround(timeout, delta);
        if moved != delta {
            delta = moved;
            timeout = now.guest.wrapping_add(delta as u64);
        }
    }

    // The callback clears this when it is done: a timer without it need not be waited for.
    if vcpu.timer_expires() != 0 {
        vcpu.cancel_timer(cx);
    }
    let state = vcpu.timer_state();
    state.set_pending(false);
    // 0 is that of a timer that is not set, and past, as 1 is.
    state.set_expires(timeout.max(1));
    if delta <= 0 {
        fire(&mut cx.may_deliver(), state);
    } else {
        vcpu.start_timer(cx, now.host.wrapping_add(delta));
    }
}

/// Stops the timer. May sleep.
pub(crate) fn stop<H: MaySleep>(cx: &mut Ctx<'_, H>, vcpu: OwnVcpu<'_>) {
    // As in `start`: nor is there an event left to the vCPU.
    if vcpu.timer_expires() != 0 {
        cancel(cx, vcpu);
    }
}

/// As [`stop`], and waits until the callback has returned. May sleep.
pub(crate) fn cancel<H: MaySleep>(cx: &mut Ctx<'_, H>, vcpu: OwnVcpu<'_>) {
    vcpu.cancel_timer(cx);
    vcpu.timer_state().set_expires(0);
    vcpu.timer_state().set_pending(false);
}

/// Delivers the timer's event, or leaves that to the vCPU where it would have to wait.
fn fire(cx: &mut Ctx<'_, MayDeliver>, timer: TimerState<'_>) {
    let (vm, vcpu) = (timer.vm(), *timer);
    let port = Port::new(vcpu.timer_virq(), vm.word_size());
    let target = Target::of(vcpu);
    match port.map(|port| try_deliver(cx, vm, port, target, Some(vcpu))) {
        Some(Delivery::NOT_NOW) => leave_to_vcpu(cx, timer),
        delivered => {
            trace_fired(vcpu, || match delivered {
                Some(_) => trace::Timer::InTime,
                None => trace::Timer::NoPort,
            });
            timer.set_expires(0);
        }
    }
}

/// Traces what becomes of the timer, which has fired, and is still noted to be set. It is late by
/// KVM's clock, as the guest's own may be nowhere to be read.
#[inline(always)]
fn trace_fired(vcpu: Vcpu<'_>, what: impl FnOnce() -> trace::Timer) {
    trace::timer(|| {
        let late = clock::kvmclock_ns(vcpu.vm()).saturating_sub(vcpu.timer_expires());
        (vcpu.vm(), vcpu.id(), vcpu.timer_virq(), what(), late)
    });
}

/// Has the vCPU deliver the timer's event, when it is next in [`inject_pending`].
fn leave_to_vcpu<H: MayWake>(cx: &mut Ctx<'_, H>, timer: TimerState<'_>) {
    trace_fired(*timer, || trace::Timer::Deferred);
    timer.set_pending(true);
    timer.unblock(cx);
}

/// The timer fires, in hard interrupt context.
#[cfg(not(CONFIG_PREEMPT_RT))]
pub(crate) fn fire_in_hardirq(cx: &mut Ctx<'_, TimerHardIrq>, timer: TimerState<'_>) {
    if timer.timer_pending() {
        return;
    }
    if poll::are_many(timer.vm(), timer.timer_virq()) {
        return leave_to_vcpu(cx, timer);
    }
    fire(&mut timer.vm().srcu().read(cx).cx().may_deliver(), timer);
}

/// The timer fires, in hard interrupt context. No lock may even be tried here under `PREEMPT_RT`, so
/// that the event is left to the vCPU.
#[cfg(CONFIG_PREEMPT_RT)]
pub(crate) fn fire_in_hardirq(cx: &mut Ctx<'_, TimerHardIrq>, timer: TimerState<'_>) {
    if !timer.timer_pending() {
        leave_to_vcpu(cx, timer);
    }
}

/// How long a timer that fired waits, in nanoseconds, to try again where `shared_info` is nowhere.
///
/// C loses the event there. To keep it costs the vCPU a timer and an exit each time: a hundred in a
/// second, some microseconds each, of that vCPU's own time. It ends when the VMM puts `shared_info`
/// somewhere, which it has to for any event to get to the guest; when the guest or the VMM sets the
/// timer again or stops it; and when the vCPU does not run: a timer that fires then leaves the event
/// to it, and is not set again before it does.
const RETRY: i64 = 10_000_000;

/// Delivers the event of a timer that fired when that could not be done. May sleep.
///
/// Where that can't be done here either, as the VMM has taken `shared_info` away, the timer fires
/// again a little later: it stays set until the event is in the guest.
pub(crate) fn inject_pending(cx: &mut Ctx<'_, MayRefresh>, vcpu: OwnVcpu<'_>) {
    if !vcpu.timer_pending() {
        return;
    }
    let vm = vcpu.vm();
    let port = Port::new(vcpu.timer_virq(), vm.word_size());
    // A port that the guest does not have will not come by waiting.
    let failed = port.is_some_and(|port| {
        let delivery = deliver(cx, vm, port, Target::of(*vcpu), Some(*vcpu));
        delivery.result().is_err()
    });
    vcpu.timer_state().set_pending(false);
    trace_fired(*vcpu, || match (port, failed) {
        (None, _) => trace::Timer::NoPort,
        (_, false) => trace::Timer::Later,
        (_, true) => trace::Timer::Again,
    });
    if failed {
        vcpu.start_timer(cx, clock::monotonic_ns().wrapping_add(RETRY));
    } else {
        vcpu.timer_state().set_expires(0);
    }
}

/// Gives the timer another port, or none, and has it fire at `expires` if that is not 0. May
/// sleep.
pub(crate) fn configure(cx: &mut Ctx<'_, MayRefresh>, vcpu: OwnVcpu<'_>, port: u32, expires: u64) {
    // Before the port changes: it may be about to fire.
    cancel(cx, vcpu);
    vcpu.set_timer_virq(port);
    if port != 0 && expires != 0 {
        start(cx, vcpu, expires, Kind::Exact);
    }
}

/// When the timer fires, or 0: then it has, and its event is in the guest. May sleep.
///
/// It may fire right after, and again where the state was migrated to. That does no harm: the
/// guest has not run in between, and an event that is pending stays one.
pub(crate) fn expires<H>(cx: &mut Ctx<'_, H>, vcpu: OwnVcpu<'_>) -> u64
where
    H: InVmMm + MaySleep + MayWake + MayEnter<KvmSrcu>,
{
    if vcpu.timer_expires() == 0 {
        // The VMM reads guest memory next.
        smp_rmb();
        return 0;
    }
    // Stopped, so that the event is not in between: fired, but not yet delivered.
    vcpu.cancel_timer(cx);
    inject_pending(&mut vcpu.vm().srcu().read(cx).cx().may_refresh(), vcpu);
    let expires = vcpu.timer_expires();
    if expires != 0 {
        vcpu.restart_timer(cx);
    }
    expires
}
