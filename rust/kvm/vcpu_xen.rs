// SPDX-License-Identifier: GPL-2.0

//! Xen's state of a vCPU: `vcpu->arch.xen`.
//!
//! Most of it belongs to the task whose own the vCPU is ([`OwnVcpu`]). Others look at it too, as do
//! senders and timers, so all of it is read and written in one piece.

use super::{OwnVcpu, Vcpu};
use crate::{
    abi::{
        pvclock::TimeInfo,
        runstate::{Accounts, Runstate, State},
    },
    bindings,
    object::{field, Object},
    sync::{
        current::current,
        gpc::{Bytes, Gpc},
        interrupts,
    },
};

/// Accessors of fields that are a word at most.
macro_rules! accessors {
    (get $($(#[$doc:meta])* $vis:vis $get:ident, $field:ident: $type:ty;)*) => {$(
        $(#[$doc])*
        #[inline]
        $vis fn $get(self) -> $type {
            field!(self.xen(), $field).read_once()
        }
    )*};
    (set $($vis:vis $set:ident, $field:ident: $type:ty;)*) => {$(
        /// Changes what the getter of the same name says.
        #[inline]
        $vis fn $set(self, value: $type) {
            let field = field!(self.xen(), $field);
            // SAFETY: Whoever writes the field, here as in C, is the vCPU's own task. Who else reads it
            // takes any number for what it is, and checks it for what it is used for.
            unsafe { field.write_once(value) }
        }
    )*};
}

impl<'a> Vcpu<'a> {
    /// Xen's part of the vCPU, as C has it.
    #[inline(always)]
    pub(super) fn xen(self) -> Object<'a, bindings::kvm_vcpu_xen> {
        field!(self.object(), arch.xen)
    }

    accessors! {get
        /// The vector of its upcall, or 0 when the VM's is used.
        pub(crate) upcall_vector, upcall_vector: u8;
        /// The port of its timer, or 0 when it has none in the kernel.
        pub(crate) timer_virq, timer_virq: u32;
        /// When its timer fires, in system time, or 0 when it does not.
        pub(crate) timer_expires, timer_expires: u64;
    }
}

impl<'a> OwnVcpu<'a> {
    accessors! {get
        /// The number that the guest knows it by, or `XEN_ID_UNSET`.
        pub(crate) xen_id, vcpu_id: u32;
        /// Where the hypercall was made that the VMM is at work on.
        pub(crate) hypercall_rip, hypercall_rip: u64;
        /// The state that it is in.
        current_runstate, current_runstate: u32;
        /// When that began, in system time.
        runstate_entry_time, runstate_entry_time: u64;
        /// How long its task had waited for a CPU when that was last accounted for.
        last_steal, last_steal: u64;
    }
    accessors! {set
        pub(crate) set_upcall_vector, upcall_vector: u8;
        pub(crate) set_timer_virq, timer_virq: u32;
        pub(crate) set_xen_id, vcpu_id: u32;
        pub(crate) set_hypercall_rip, hypercall_rip: u64;
        set_current_runstate, current_runstate: u32;
        set_runstate_entry_time, runstate_entry_time: u64;
        set_last_steal, last_steal: u64;
    }

    /// The cache of its `pvclock_vcpu_time_info`.
    pub(crate) fn time_info(self) -> Gpc<'a, TimeInfo> {
        let cache = field!(self.xen(), vcpu_time_info_cache);
        // SAFETY: The cache is initialized with the vCPU, and is only used for this structure.
        unsafe { Gpc::from_raw(cache) }
    }

    /// The cache of its runstate, of the part in the first page.
    pub(crate) fn runstate_info(self) -> Gpc<'a, Bytes> {
        let cache = field!(self.xen(), runstate_cache);
        // SAFETY: The cache is initialized with the vCPU. Bytes may be anything.
        unsafe { Gpc::from_raw(cache) }
    }

    /// The cache of its runstate, of the part in the second page.
    pub(crate) fn runstate_info_rest(self) -> Gpc<'a, Bytes> {
        let cache = field!(self.xen(), runstate2_cache);
        // SAFETY: The cache is initialized with the vCPU. Bytes may be anything.
        unsafe { Gpc::from_raw(cache) }
    }

    /// How long it was in each state, before it last began another.
    #[inline(always)]
    fn times(self) -> *mut [u64; 4] {
        field!(self.xen(), runstate_times).as_ptr()
    }

    /// The accounts of its runstate.
    ///
    /// A task that may be preempted meanwhile gets a mixture of what was before and after that. It
    /// changes the state once more before the guest runs again, and the guest is told of that
    /// change.
    pub(crate) fn runstate(self) -> Runstate {
        Runstate {
            state: self.state(),
            entry_time: self.runstate_entry_time(),
            // SAFETY: They are the vCPU's own task's alone. If that is preempted meanwhile, some are from
            // before that.
            times: unsafe { self.times().read() },
        }
    }

    /// Ends the state that it is in at `now`, and begins another; see
    /// [`Accounts::change`].
    ///
    /// The task may be preempted, and then does the same from within the scheduler: not in the
    /// midst of this, or the accounts would not add up any more.
    #[inline(always)]
    pub(crate) fn change_runstate(self, now: u64, state: State) {
        let change = || {
            let waited = run_delay();
            let stolen = waited.wrapping_sub(self.last_steal()) as i64;
            let mut accounts = self;
            // Not so for a task that was preempted between `now` and here: what it has waited since is
            // part of the next account.
            if accounts.change(now, stolen, state) {
                self.set_last_steal(waited);
            }
        };
        // SAFETY: It reads and writes numbers, and calls nothing of the kernel's.
        unsafe { interrupts::without(change) }
    }

    /// Sets the accounts of its runstate.
    pub(crate) fn set_runstate(self, to: &Runstate) {
        self.update_runstate(|accounts| *accounts = *to);
    }

    /// Shifts the accounts of its runstate: see [`Runstate::adjust`].
    pub(crate) fn adjust_runstate(self, by: &Runstate) {
        self.update_runstate(|accounts| accounts.adjust(by));
    }

    /// Changes the accounts of its runstate, not in parts as
    /// [`change_runstate`](Self::change_runstate).
    fn update_runstate(self, update: impl FnOnce(&mut Runstate)) {
        let update = || {
            let mut runstate = self.runstate();
            update(&mut runstate);
            self.set_current_runstate(runstate.state as u32);
            self.set_runstate_entry_time(runstate.entry_time);
            // SAFETY: As in `runstate`, and this is not preempted.
            unsafe { self.times().write(runstate.times) };
        };
        // SAFETY: As above; so do those two that it is given by the callers above.
        unsafe { interrupts::without(update) }
    }

    /// Counts stolen time from now on.
    pub(crate) fn restart_steal(self) {
        self.set_last_steal(run_delay());
    }
}

impl Accounts for OwnVcpu<'_> {
    #[inline(always)]
    fn state(&self) -> State {
        // Only states get there, from here as from C.
        State::from_low_bits(self.current_runstate())
    }

    #[inline(always)]
    fn set_state(&mut self, state: State) {
        self.set_current_runstate(state as u32);
    }

    #[inline(always)]
    fn entry_time(&self) -> u64 {
        self.runstate_entry_time()
    }

    #[inline(always)]
    fn set_entry_time(&mut self, time: u64) {
        self.set_runstate_entry_time(time);
    }

    #[inline(always)]
    fn add(&mut self, state: State, time: u64) {
        let field = field!(self.xen(), runstate_times).item(state as usize);
        // SAFETY: As for the setters above.
        unsafe { field.write_once(field.read_once().wrapping_add(time)) }
    }
}

/// How long the current task has waited for a CPU since it began, in nanoseconds.
fn run_delay() -> u64 {
    // SAFETY: The task is the current one. The scheduler updates the field when it is not.
    unsafe { (*current()).sched_info.run_delay }
}
