// SPDX-License-Identifier: GPL-2.0

//! `kvm->srcu`.

use super::{host::Host, vm::Vm, Broken};
use crate::{
    prelude::*,
    sync::{order::KvmSrcu, Ctx, Held, MayEnter, MaySleep, MayWaitForSrcu, Within},
};
use loom::{
    sync::atomic::{
        fence, AtomicUsize,
        Ordering::{Acquire, Release, SeqCst},
    },
    thread,
};
use std::{marker::PhantomData, sync::Mutex};

/// Threads that may be in a section at once.
const READERS: usize = 4;

/// A section has a slot of its own, whose counter is odd as long as it lasts. Nothing is shared by
/// readers, which so are not ordered among each other.
pub(crate) struct Srcu {
    slots: [AtomicUsize; READERS],
    /// The slots that are free, and their counters as their next owners write them.
    free: Mutex<Vec<(usize, usize)>>,
    /// Whether the test has grace periods. Where it has none, sections are nothing.
    awaited: bool,
    broken: Option<Broken>,
}

/// A slot, and its counter.
pub(crate) type Section = Option<(usize, usize)>;

impl Srcu {
    pub(crate) fn new(awaited: bool, broken: Option<Broken>) -> Self {
        Self {
            slots: std::array::from_fn(|_| AtomicUsize::new(0)),
            free: Mutex::new((0..READERS).map(|slot| (slot, 0)).collect()),
            awaited,
            broken,
        }
    }

    /// Enters a section.
    pub(crate) fn enter(&self) -> Section {
        if !self.awaited {
            return None;
        }
        let free = self.free.lock().expect("never poisoned").pop();
        let (slot, counter) = free.expect("a slot for each thread");
        self.slots[slot].store(counter + 1, Release);
        // The barrier of `srcu_read_lock()`.
        fence(SeqCst);
        Some((slot, counter + 1))
    }

    /// Leaves it.
    pub(crate) fn leave(&self, section: Section) {
        if let Some((slot, counter)) = section {
            self.slots[slot].store(counter + 1, Release);
            let free = (slot, counter + 1);
            self.free.lock().expect("never poisoned").push(free);
        }
    }

    fn synchronize(&self) {
        assert!(self.awaited, "the test has grace periods");
        if matches!(self.broken, Some(Broken::GracePeriod | Broken::Leaked)) {
            return;
        }
        fence(SeqCst);
        for counter in &self.slots {
            let then = counter.load(Acquire);
            while then % 2 != 0 && counter.load(Acquire) == then {
                thread::yield_now();
            }
        }
        fence(SeqCst);
    }
}

/// As the module has it.
#[derive(Clone, Copy)]
pub(crate) struct OfVm<'a>(pub(super) Vm<'a>);

/// As the module has it.
pub(crate) struct Callback<T>(PhantomData<T>);

impl<T> Callback<T> {
    pub(crate) fn new<H: MaySleep>(_cx: &mut Ctx<'_, H>, _objects: u16) -> Result<Self> {
        if Host::current().out_of_memory {
            return Err(ENOMEM);
        }
        Ok(Self(PhantomData))
    }
}

/// As the module has it.
pub(crate) struct VmGuard<'g, H> {
    outside: Ctx<'g, H>,
    srcu: &'g Srcu,
    section: Section,
}

impl<'a> OfVm<'a> {
    pub(crate) fn read<'g, H: MayEnter<KvmSrcu>>(self, cx: &'g mut Ctx<'_, H>) -> VmGuard<'g, H>
    where
        'a: 'g,
    {
        VmGuard {
            outside: cx.reborrow(),
            srcu: &self.0.state().srcu,
            section: self.0.state().srcu.enter(),
        }
    }

    pub(crate) fn wait_for_readers<H: MayWaitForSrcu>(self, _cx: &mut Ctx<'_, H>) {
        self.0.state().srcu.synchronize();
    }

    pub(crate) fn call<T: 'static>(self, _callback: Callback<T>, payload: T) {
        let vm = self.0.state().clone();
        thread::spawn(move || {
            vm.srcu.synchronize();
            drop(payload);
        });
    }
}

impl<H: Held> VmGuard<'_, H> {
    pub(crate) fn cx(&mut self) -> Ctx<'_, Within<KvmSrcu, H>> {
        // SAFETY: The section lasts as long as the guard, which is borrowed.
        unsafe { self.outside.enter() }
    }
}

impl<H> Drop for VmGuard<'_, H> {
    fn drop(&mut self) {
        self.srcu.leave(self.section);
    }
}
