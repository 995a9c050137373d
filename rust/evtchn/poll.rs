// SPDX-License-Identifier: GPL-2.0

//! vCPUs that wait in `SCHEDOP_poll` for a port to become pending.
//!
//! As in Xen, whatever port becomes pending wakes those that poll for it: masked or not, and
//! bound to any vCPU.

use super::port::Port;
use crate::{
    abi::{hypercall::MAX_POLL_PORTS, shared_info, WordSize},
    kvm::{
        clock, params,
        pollers::{Polled, Pollers},
        OwnVcpu, Vcpu, Vm,
    },
    livepatch::transition,
    prelude::*,
    sync::{Ctx, InKvmRun, InKvmSrcu, MayDeliver, MayTryLock},
    trace,
    vcpu::timer,
};

/// Wakes the vCPUs that poll for `port`. Any context.
///
/// Call it after the pending bit was set by a fully ordered operation. A poller is counted and puts
/// itself on the list before it looks at that bit, so that one of the two sees the other.
#[inline(always)]
pub(crate) fn wake(cx: &mut Ctx<'_, MayDeliver>, vm: Vm<'_>, port: Port) {
    if vm.may_have_pollers() {
        wake_pollers(cx, vm, port);
    }
}

/// How many pollers an event may wake where nothing else can run meanwhile: a microsecond each.
const FEW: u32 = 8;

/// Whether an event for `port` may have more vCPUs to look at than there is time for with interrupts
/// off. How many poll is the guest's to say: the event is left to a task, which can be preempted.
#[inline(always)]
pub(crate) fn are_many(vm: Vm<'_>, port: u32) -> bool {
    vm.may_have_pollers() && are_many_for(vm, port)
}

/// As [`are_many`], where somebody may poll.
#[cold]
#[inline(never)]
fn are_many_for(vm: Vm<'_>, port: u32) -> bool {
    pollers_for(vm, port) == Pollers::Any && vm.pollers() > FEW
}

/// Who on the list may poll for `port`.
fn pollers_for(vm: Vm<'_>, port: u32) -> Pollers {
    // C counts none of those that poll in it, and takes none of them off the count.
    if transition::is_over() {
        vm.pollers_for(port)
    } else {
        Pollers::Any
    }
}

/// As [`wake`], where there may be somebody to wake.
#[cold]
#[inline(never)]
fn wake_pollers(cx: &mut Ctx<'_, MayDeliver>, vm: Vm<'_>, port: Port) {
    let wake = |vcpu: Vcpu<'_>| {
        let waits = match vcpu.polled() {
            Polled::Port(polled) => polled == port.nr(),
            Polled::Several => true,
        };
        if waits && vm.take_poller(vcpu) {
            vcpu.unblock(cx);
        }
    };
    match pollers_for(vm, port.nr()) {
        Pollers::None => {}
        Pollers::One(index) => {
            vm.vcpu(index).map(wake);
        }
        Pollers::Any => vm.for_each_poller(wake),
    }
}

/// The ports that a guest polls for, all of which it has.
pub(crate) struct Ports<'a> {
    numbers: &'a [[u8; 4]],
    size: WordSize,
}

impl<'a> Ports<'a> {
    /// At most [`MAX_POLL_PORTS`], as the guest has them in its memory.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a port that a guest of the word size `size` does not have.
    pub(crate) fn new(numbers: &'a [[u8; 4]], size: WordSize) -> Result<Self> {
        if numbers.len() > MAX_POLL_PORTS {
            return Err(EINVAL);
        }
        for &number in numbers {
            Port::new(u32::from_le_bytes(number), size).ok_or(EINVAL)?;
        }
        Ok(Self { numbers, size })
    }

    /// What senders compare with.
    fn polled(&self) -> Polled {
        match self.numbers {
            &[number] => Polled::Port(u32::from_le_bytes(number)),
            _ => Polled::Several,
        }
    }

    /// What a trace says of them.
    fn traced(&self) -> u32 {
        match self.polled() {
            Polled::Port(port) => port,
            Polled::Several => trace::SEVERAL,
        }
    }

    /// Whether one of the ports is pending. Where that can't be seen, the guest is to look itself.
    fn pending<H: InKvmSrcu + MayTryLock>(&self, cx: &mut Ctx<'_, H>, vm: Vm<'_>) -> bool {
        let Some(page) = vm.shared_info().try_read(cx) else {
            return true;
        };
        let bits = shared_info::evtchn_pending(self.size);
        let mut numbers = self.numbers.iter();
        numbers.any(|&number| page.test(&bits, u32::from_le_bytes(number)))
    }
}

/// Waits until one of the ports is pending, or there is something else for the vCPU to do, or
/// `timeout` nanoseconds (0: none) have passed. Sleeps as long as the guest likes.
pub(crate) fn wait(cx: &mut Ctx<'_, InKvmRun>, vcpu: OwnVcpu<'_>, ports: &Ports<'_>, timeout: u64) {
    let vm = vcpu.vm();
    // When, if that is traced.
    let mut begun = None;
    trace::poll(|| {
        begun = Some(clock::monotonic_ns());
        (vm, vcpu.id(), ports.traced(), trace::Poll::Begins, 0)
    });
    let ended = |what: trace::Poll| {
        let ns = begun.map_or(0, |begun| clock::monotonic_ns().wrapping_sub(begun) as u64);
        (vm, vcpu.id(), ports.traced(), what, ns)
    };
    let timeout = match timeout {
        0 => None,
        span if !params::poll_timeout_is_absolute() => Some(span),
        // As Xen takes it: a moment of system time, which may be past.
        moment => match timer::until(&mut cx.may_refresh(), vcpu, moment) {
            ..=0 => {
                trace::poll(|| ended(trace::Poll::TimedOut));
                return;
            }
            span => Some(span as u64),
        },
    };

    // Who does not sleep has nobody wake it.
    let what = if ports.pending(cx, vm) {
        trace::Poll::Pending
    } else {
        sleep(cx, vcpu, ports, timeout)
    };
    trace::poll(|| ended(what));
}

/// As [`wait`], where none was pending just before, as a poller that senders find; returns how it ended.
#[inline(never)]
fn sleep(
    cx: &mut Ctx<'_, InKvmRun>,
    vcpu: OwnVcpu<'_>,
    ports: &Ports<'_>,
    timeout: Option<u64>,
) -> trace::Poll {
    let (vm, polled) = (vcpu.vm(), ports.polled());
    vcpu.set_polled(Some(polled));
    vm.count_poller(*vcpu, polled);
    // Fully ordered: senders either find the vCPU here, or have set the bit that is looked at next.
    vm.add_poller(*vcpu);
    let pending = ports.pending(cx, vm);
    let mut timed_out = false;
    if !pending {
        if let Some(span) = timeout {
            vcpu.start_poll_timer(cx, span);
        }
        vcpu.halt(cx);
        if timeout.is_some() {
            timed_out = !vcpu.stop_poll_timer();
        }
    }
    vcpu.set_polled(None);
    // Who sends an event takes it off the list.
    let woken = !vm.take_poller(*vcpu);
    vm.uncount_poller(*vcpu, polled);
    match (pending, woken, timed_out) {
        (true, ..) => trace::Poll::Pending,
        (_, true, _) => trace::Poll::Woken,
        (_, _, true) => trace::Poll::TimedOut,
        _ => trace::Poll::Other,
    }
}
