// SPDX-License-Identifier: GPL-2.0

//! `struct kvm_vcpu`.

use super::{
    fully_ordered,
    host::Host,
    memory::{Gpc, Page},
    sleep::Sleeper,
    srcu::Section,
    vm::{Config, Vm},
    Broken,
};
use crate::{
    abi::{
        pvclock::{Scale, TimeInfo},
        vcpu_info::{self, VcpuInfo, EVTCHN_UPCALL_PENDING},
    },
    kvm::{pollers::Polled, task::Asked},
    sync::{Anywhere, Ctx, InKvmRun, MaySleep, MayWake, TimerHardIrq},
    vcpu::{info, timer},
};
use loom::{
    sync::atomic::{
        AtomicBool, AtomicI32, AtomicU32, AtomicU64,
        Ordering::{self, Relaxed},
    },
    thread::{self, JoinHandle},
};
use std::{cell::Cell, ops::Deref, sync::Mutex};

/// The number that the VMM gives the first vCPU: they are others than KVM's.
const FIRST_ID: u32 = 7;

/// The number that the VMM gives a vCPU.
pub(crate) const fn id_of(index: u32) -> u32 {
    FIRST_ID + index
}

/// What was done to a vCPU, for tests to look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    /// How often it was interrupted.
    pub(crate) interrupts: u32,
    /// When its timer was last set to fire.
    pub(crate) timer_at: Option<i64>,
    /// How often that has fired.
    pub(crate) fired: u32,
    /// How long it was to poll.
    pub(crate) poll_span: Option<u64>,
}

/// `KVM_REQ_UNBLOCK`.
const UNBLOCK: u32 = 1;

/// A vCPU.
pub(crate) struct VcpuState {
    pending_sel: AtomicU64,
    poll_evtchn: AtomicI32,
    poll_timer: AtomicBool,
    requests: AtomicU32,
    sleeper: Sleeper,
    timer_expires: AtomicU64,
    timer_pending: AtomicBool,
    timer_virq: AtomicU32,
    callback: Mutex<Option<JoinHandle<()>>>,
    /// The read section of `KVM_RUN`.
    section: Mutex<Section>,
    upcall_vector: u8,
    done: Cell<Done>,
    /// Its clock, where that has a page of its own.
    pub(crate) time_info: Page,
    /// The words of its `vcpu_info` that are in use.
    pub(crate) info: Page,
    broken: Option<Broken>,
}

impl VcpuState {
    pub(super) fn new(config: &Config<'_>) -> Self {
        let broken = config.broken;
        let sel = vcpu_info::evtchn_pending_sel(config.word_size);
        let time_info = Page::new([], false, None);
        time_info.deactivate();
        Self {
            pending_sel: AtomicU64::new(0),
            poll_evtchn: AtomicI32::new(0),
            poll_timer: AtomicBool::new(false),
            requests: AtomicU32::new(0),
            sleeper: Sleeper::default(),
            timer_expires: AtomicU64::new(0),
            timer_pending: AtomicBool::new(false),
            timer_virq: AtomicU32::new(0),
            callback: Mutex::new(None),
            section: Mutex::new(None),
            upcall_vector: config.upcall_vector,
            done: Cell::default(),
            time_info,
            info: Page::new(
                [EVTCHN_UPCALL_PENDING.offset(), sel.locate(0).0],
                false,
                broken,
            ),
            broken,
        }
    }
}

/// As the module has it.
#[derive(Clone, Copy)]
pub(crate) struct Vcpu<'a> {
    pub(super) vm: Vm<'a>,
    pub(super) index: u32,
}

/// As the module has it.
#[derive(Clone, Copy)]
pub(crate) struct OwnVcpu<'a>(Vcpu<'a>);

/// As the module has it.
#[derive(Clone, Copy)]
pub(crate) struct TimerState<'a>(Vcpu<'a>);

impl TimerState<'_> {
    pub(crate) fn set_pending(self, pending: bool) {
        self.set_timer_pending(pending);
    }

    pub(crate) fn set_expires(self, expires: u64) {
        self.set_timer_expires(expires);
    }
}

impl<'a> Deref for TimerState<'a> {
    type Target = Vcpu<'a>;

    fn deref(&self) -> &Vcpu<'a> {
        &self.0
    }
}

impl<'a> OwnVcpu<'a> {
    pub(crate) fn timer_state(self) -> TimerState<'a> {
        TimerState(self.0)
    }
}

impl<'a> Deref for OwnVcpu<'a> {
    type Target = Vcpu<'a>;

    fn deref(&self) -> &Vcpu<'a> {
        &self.0
    }
}

/// Accessors of fields that are a word.
macro_rules! accessors {
    ($($get:ident, $set:ident: $type:ty;)*) => {$(
        pub(crate) fn $get(self) -> $type {
            self.state().$get.load(Relaxed)
        }

        pub(crate) fn $set(self, value: $type) {
            self.state().$get.store(value, Relaxed);
        }
    )*};
}

impl<'a> Vcpu<'a> {
    pub(crate) fn state(self) -> &'a VcpuState {
        &self.vm.state().vcpus[self.index as usize]
    }

    /// The vCPU as the calling thread's own, which the test has see to that.
    pub(crate) fn own(self) -> OwnVcpu<'a> {
        OwnVcpu(self)
    }

    pub(crate) fn id(self) -> u32 {
        id_of(self.index)
    }

    pub(crate) fn index(self) -> u32 {
        self.index
    }

    pub(crate) fn vm(self) -> Vm<'a> {
        self.vm
    }

    pub(crate) fn vcpu_info(self) -> Gpc<'a, VcpuInfo> {
        Gpc::new(&self.state().info)
    }

    pub(crate) fn time_info(self) -> Gpc<'a, TimeInfo> {
        Gpc::new(&self.state().time_info)
    }

    accessors! {
        timer_expires, set_timer_expires: u64;
        timer_pending, set_timer_pending: bool;
        timer_virq, set_timer_virq: u32;
    }

    pub(crate) fn pending_sel(self) -> u64 {
        self.state().pending_sel.load(Relaxed)
    }

    pub(crate) fn test_and_set_pending_sel(self, word: u32) -> bool {
        let bit = 1 << word;
        let sel = &self.state().pending_sel;
        fully_ordered(|| sel.fetch_or(bit, Relaxed)) & bit != 0
    }

    pub(crate) fn clear_pending_sel(self, words: u64) {
        let bits = match self.state().broken {
            Some(Broken::NotesClearedAsAWhole) => u64::MAX,
            _ => words,
        };
        fully_ordered(|| self.state().pending_sel.fetch_and(!bits, Relaxed));
    }

    pub(crate) fn polled(self) -> Polled {
        match self.state().poll_evtchn.load(Relaxed) {
            -1 => Polled::Several,
            port => Polled::Port(port as u32),
        }
    }

    pub(crate) fn set_polled(self, polled: Option<Polled>) {
        let value = match polled {
            None => 0,
            Some(Polled::Several) => -1,
            Some(Polled::Port(port)) => port as i32,
        };
        self.state().poll_evtchn.store(value, Relaxed);
    }

    /// Where it is 0, what is told is looked for before the guest goes on.
    pub(crate) fn upcall_vector(self) -> u8 {
        self.state().upcall_vector
    }

    pub(crate) fn inject_upcall_vector<H: MayWake>(self, cx: &mut Ctx<'_, H>) {
        self.note(|done| done.interrupts += 1);
        self.unblock(cx);
    }

    pub(crate) fn unblock<H: MayWake>(self, _cx: &mut Ctx<'_, H>) {
        let state = self.state();
        if state.broken != Some(Broken::WokenWithoutRequest) {
            fully_ordered(|| state.requests.fetch_or(UNBLOCK, Relaxed));
        }
        let woken = &self.vm.state().woken;
        woken.lock().expect("never poisoned").push(self.index);
        state.sleeper.wake();
    }

    /// What was done to it until now.
    pub(crate) fn done(self) -> Done {
        self.state().done.get()
    }

    fn note(self, change: impl FnOnce(&mut Done)) {
        let mut done = self.done();
        change(&mut done);
        self.state().done.set(done);
    }

    /// Has `f` run on a thread of its own, as a timer would some time.
    fn some_time(self, f: impl FnOnce(Vcpu<'_>) + 'static) -> JoinHandle<()> {
        let (vm, index) = (self.vm.state().clone(), self.index);
        thread::spawn(move || {
            f(Vcpu {
                vm: Vm::of(&vm),
                index,
            })
        })
    }

    pub(crate) fn start_poll_timer<H: MayWake>(self, _cx: &mut Ctx<'_, H>, ns: u64) {
        self.note(|done| done.poll_span = Some(ns));
        self.state().poll_timer.store(true, Relaxed);
        self.some_time(|vcpu| {
            if vcpu.state().poll_timer.load(Relaxed) {
                // SAFETY: A thread of the test is inside of nothing.
                vcpu.unblock(&mut unsafe { Ctx::<Anywhere>::assert() });
            }
        });
    }

    /// Whether it may be woken by the timer of a poll.
    pub(crate) fn has_poll_timer(self) -> bool {
        self.state().poll_timer.load(Relaxed)
    }

    /// Where it is set; that it has fired is not kept.
    pub(crate) fn stop_poll_timer(self) -> bool {
        self.state().poll_timer.store(false, Relaxed);
        true
    }

    pub(crate) fn start_timer<H: MayWake>(self, _cx: &mut Ctx<'_, H>, at: i64) {
        self.note(|done| done.timer_at = Some(at));
        let callback = self.some_time(|vcpu| vcpu.timer_fires());
        *self.state().callback.lock().expect("never poisoned") = Some(callback);
    }

    pub(crate) fn restart_timer<H: MayWake>(self, cx: &mut Ctx<'_, H>) {
        self.start_timer(cx, self.done().timer_at.unwrap_or(0));
    }

    /// Comes too late always: the callback runs, and is waited for.
    pub(crate) fn cancel_timer<H: MaySleep>(self, _cx: &mut Ctx<'_, H>) {
        let callback = self.state().callback.lock().expect("never poisoned").take();
        if let Some(callback) = callback {
            callback.join().expect("it has fired");
        }
    }

    /// The callback of the singleshot timer.
    pub(crate) fn timer_fires(self) {
        self.note(|done| done.fired += 1);
        // SAFETY: A thread of the test may do more than an interrupt.
        let mut cx = unsafe { Ctx::<TimerHardIrq>::assert() };
        timer::fire_in_hardirq(&mut cx, TimerState(self));
    }

    pub(crate) fn has_master_clock(self) -> bool {
        Host::current().told.is_some()
    }

    pub(crate) fn is_current(self, scale: &Scale) -> bool {
        Host::current().told == Some((scale.mul, scale.shift))
    }

    pub(crate) fn guest_tsc(self, host_tsc: u64) -> u64 {
        Host::guest_tsc(host_tsc)
    }

    /// `KVM_RUN`, on the calling thread.
    pub(crate) fn run<R>(self, f: impl FnOnce(&mut Ctx<'_, InKvmRun>) -> R) -> R {
        self.enter_section();
        // SAFETY: The section was entered just above; the rest is the thread's own.
        let result = f(&mut unsafe { Ctx::assert() });
        self.leave_section();
        result
    }

    fn enter_section(self) {
        let section = self.vm.state().srcu.enter();
        *self.state().section.lock().expect("never poisoned") = section;
    }

    fn leave_section(self) {
        let section = self.state().section.lock().expect("never poisoned").take();
        self.vm.state().srcu.leave(section);
    }

    /// Sleeps until there is something to do, as `kvm_vcpu_halt()` does.
    pub(crate) fn halt(self, _cx: &mut Ctx<'_, InKvmRun>) {
        self.leave_section();
        if self.vm.state().broken == Some(Broken::ListedWhenAsleep) {
            self.vm.list(self);
        }
        if self.vm.state().broken == Some(Broken::CountedWhenAsleep) {
            self.vm.count(self, self.polled());
        }
        let state = self.vm.state();
        let has_work = || state.asleep.while_in(|| self.has_work());
        self.state().sleeper.sleep_until(has_work);
        self.enter_section();
    }

    /// `kvm_vcpu_check_block()`.
    fn has_work(self) -> bool {
        // SAFETY: A question from any context.
        let mut cx = unsafe { Ctx::<Anywhere>::assert() };
        self.vm.state().interrupts && info::has_interrupt(&mut cx, Asked(self))
            || self.pending_sel() != 0
            || self.timer_pending()
            || self.take_request()
    }

    /// `kvm_check_request()`.
    pub(crate) fn take_request(self) -> bool {
        let requests = &self.state().requests;
        requests.load(Relaxed) & UNBLOCK != 0
            && requests.fetch_and(!UNBLOCK, Ordering::AcqRel) & UNBLOCK != 0
    }
}
