// SPDX-License-Identifier: GPL-2.0

//! The table of senders, and what they lead to.

use super::{fully_ordered, host::Host, memory::Locked, vcpu::Vcpu, vm::Vm, Broken};
use crate::{
    abi::shared_info::SharedInfo,
    kvm::Target,
    prelude::*,
    sync::{
        gpc::Mapping,
        order::{GpcLock, XenLock},
        retired::Retired,
        srcu::DropAnywhere,
        Ctx, InKvmSrcu, MayEnter, MaySleep, VmIoctl,
    },
};
use loom::{
    cell::UnsafeCell,
    sync::{
        atomic::{
            AtomicI32, AtomicU32, AtomicUsize,
            Ordering::{Acquire, Relaxed, Release},
        },
        Mutex, MutexGuard,
    },
};
use std::{
    cell::Cell,
    marker::PhantomData,
    num::NonZeroU32,
    sync::{Arc, Mutex as Bookkeeping},
};

/// Of the 2-level ABI.
pub(crate) const PRIO_2LEVEL: u32 = u32::MAX;

/// As the module has it.
#[derive(Clone, Copy)]
pub(crate) struct EvtchnAttr {
    pub(crate) send_port: u32,
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    pub(crate) port: u32,
    pub(crate) vcpu: u32,
    pub(crate) priority: u32,
    pub(crate) fd: i32,
}

/// As the module has it.
#[derive(Clone, Copy)]
pub(crate) struct Route {
    pub(crate) port: u32,
    pub(crate) target: Target,
    pub(crate) priority: u32,
}

/// What there is of the eventfd: how often it was signalled.
#[derive(Clone, Default)]
pub(crate) struct EventFd(Arc<Signals>);

#[derive(Default)]
struct Signals(std::sync::atomic::AtomicUsize);

impl EventFd {
    /// Any descriptor is the eventfd that the thread before it has got ready.
    pub(crate) fn from_fd<H: MaySleep>(_cx: &mut Ctx<'_, H>, _fd: i32) -> Result<Self> {
        Ok(Self::default())
    }

    fn signals(&self) -> usize {
        self.0 .0.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// As the module has it.
pub(crate) enum NewDestination {
    Port {
        port: NonZeroU32,
        target: Target,
        priority: u32,
    },
    EventFd(EventFd),
}

/// As the module has it; loom tells when it is read while it is freed.
pub(crate) struct Sender {
    kind: u32,
    vcpu_id: AtomicU32,
    vcpu_idx: AtomicI32,
    to: UnsafeCell<NewDestination>,
    is_freed: Cell<bool>,
}

impl Sender {
    pub(crate) fn new(_send_port: u32, kind: u32, to: NewDestination) -> Self {
        let target = match to {
            NewDestination::Port { target, .. } => target,
            NewDestination::EventFd(_) => Target::by_id(0),
        };
        Self {
            kind,
            vcpu_id: AtomicU32::new(target.id()),
            vcpu_idx: AtomicI32::new(target.raw_index()),
            to: UnsafeCell::new(to),
            is_freed: Cell::new(false),
        }
    }

    pub(crate) fn kind(&self) -> u32 {
        self.kind
    }

    pub(crate) fn port(&self) -> u32 {
        match self.leads() {
            Ok(route) => route.port,
            Err(_) => 0,
        }
    }

    /// To a port, or to an eventfd.
    fn leads(&self) -> Result<Route, EventFd> {
        self.to.with(|to| {
            // SAFETY: loom has made sure that nobody writes to it now.
            match unsafe { &*to } {
                &NewDestination::Port { port, priority, .. } => {
                    let id = self.vcpu_id.load(Acquire);
                    let target = Target::new(id, self.vcpu_idx.load(Relaxed));
                    Ok(Route {
                        port: port.get(),
                        target,
                        priority,
                    })
                }
                NewDestination::EventFd(eventfd) => Err(eventfd.clone()),
            }
        })
    }

    /// Has it lead to another vCPU, by words.
    fn bind(&self, id: u32) {
        self.vcpu_idx.store(Target::by_id(id).raw_index(), Relaxed);
        self.vcpu_id.store(id, Release);
    }
}

impl Freed for Sender {
    fn freed(&self) {
        // To write to it is what readers must not meet.
        if !Host::current().leaks {
            self.to.with_mut(|_| ());
            self.is_freed.set(true);
        }
    }
}

/// As the module has it.
pub(crate) struct Owned(KBox<Sender>);

impl Owned {
    pub(crate) fn new<H: MaySleep>(_cx: &mut Ctx<'_, H>, sender: Sender) -> Result<Self> {
        KBox::new(sender).map(Self)
    }

    pub(crate) fn port(&self) -> u32 {
        self.0.port()
    }
}

/// As the module has it.
pub(crate) trait Destinations {
    fn ports(&self) -> Option<u16>;
}

impl Destinations for Owned {
    fn ports(&self) -> Option<u16> {
        (self.port() != 0).then_some(1)
    }
}

/// As the module has it.
pub(crate) struct Senders(Vec<Owned>);

// SAFETY: loom runs its threads on one of the system's.
unsafe impl Send for Owned {}
// SAFETY: As above.
unsafe impl Send for Senders {}
// SAFETY: Nothing of the model's needs a context to be dropped.
unsafe impl DropAnywhere for Owned {}
// SAFETY: As above.
unsafe impl DropAnywhere for Senders {}

impl Destinations for Senders {
    fn ports(&self) -> Option<u16> {
        self.0.iter().map(Destinations::ports).sum()
    }
}

/// As the module has it.
pub(crate) enum Destination<'s> {
    Port(Route, SenderRef<'s>),
    EventFd(EventFdRef<'s>),
}

/// As the module has it.
pub(crate) struct SenderRef<'s>(Arc<Sender>, PhantomData<&'s ()>);

impl SenderRef<'_> {
    fn note(&self, vcpu: Vcpu<'_>) {
        let unknown = Target::by_id(0).raw_index();
        let index = vcpu.index() as i32;
        fully_ordered(|| {
            let noted = &self.0.vcpu_idx;
            // Another has noted it otherwise.
            let _ = noted.compare_exchange(unknown, index, Relaxed, Relaxed);
        });
    }
}

/// As the module has it.
pub(crate) struct EventFdRef<'s>(EventFd, PhantomData<&'s ()>);

impl EventFdRef<'_> {
    pub(crate) fn signal(&self) {
        let counter = &self.0 .0 .0;
        counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

/// A slot for each of the first ports: which of all senders that there ever were is in it.
pub(crate) struct Table {
    lock: Mutex<()>,
    slots: [AtomicUsize; 2],
    senders: Bookkeeping<Vec<Arc<Sender>>>,
    broken: Option<Broken>,
}

/// No sender.
const NONE: usize = 0;

impl Table {
    pub(crate) fn new(broken: Option<Broken>) -> Self {
        Self {
            lock: Mutex::new(()),
            slots: [AtomicUsize::new(NONE), AtomicUsize::new(NONE)],
            senders: Bookkeeping::default(),
            broken,
        }
    }

    fn keep(&self, sender: KBox<Sender>) -> usize {
        let mut senders = self.senders.lock().expect("never poisoned");
        senders.push(sender.into_raw());
        senders.len()
    }

    /// How many senders there are, in the table and out of it, that were not freed.
    pub(crate) fn unfreed(&self) -> usize {
        let senders = self.senders.lock().expect("never poisoned");
        let unfreed = senders.iter().filter(|sender| !sender.is_freed.get());
        unfreed.count()
    }

    /// How often eventfds that ports led to were signalled.
    pub(crate) fn signals(&self) -> usize {
        let senders = self.senders.lock().expect("never poisoned");
        let signals = senders.iter().map(|sender| match sender.leads() {
            Ok(_) => 0,
            Err(eventfd) => eventfd.signals(),
        });
        signals.sum()
    }

    fn get(&self, number: usize) -> Option<Arc<Sender>> {
        let senders = self.senders.lock().expect("never poisoned");
        number.checked_sub(1).map(|index| senders[index].clone())
    }

    /// Where a port leads to, as who is in `kvm->srcu` sees it.
    pub(crate) fn leads<'s>(&self, port: u32) -> Option<Destination<'s>> {
        let number = self.slots.get(port as usize)?.load(Acquire);
        let sender = self.get(number)?;
        Some(match sender.leads() {
            Ok(route) => Destination::Port(route, SenderRef(sender, PhantomData)),
            Err(eventfd) => Destination::EventFd(EventFdRef(eventfd, PhantomData)),
        })
    }

    /// Whoever changes it has looked whether there is such a port.
    fn slot(&self, port: u32) -> &AtomicUsize {
        self.slots.get(port as usize).expect("a port of the model")
    }
}

/// As the module has it.
pub(crate) struct Gate<'a, 'g> {
    vm: Vm<'a>,
    locked: Locked<'g, SharedInfo>,
}

impl<'a> Vm<'a> {
    pub(crate) fn gate<'g, H>(self, cx: &'g mut Ctx<'_, H>) -> Gate<'a, 'g>
    where
        'a: 'g,
        H: InKvmSrcu + MayEnter<GpcLock>,
    {
        Gate {
            vm: self,
            locked: self.shared_info().lock(cx),
        }
    }
}

impl<'a, 'g> Gate<'a, 'g> {
    pub(crate) fn find(&self, port: u32) -> Option<Destination<'g>> {
        self.vm.state().table.leads(port)
    }

    pub(crate) fn target(&self, target: Target) -> Option<Vcpu<'a>> {
        self.vm.target_at_once(&self.locked, target)
    }

    pub(crate) fn note(&self, sender: &SenderRef<'g>, vcpu: Vcpu<'_>) {
        sender.note(vcpu);
    }

    pub(crate) fn map(self) -> Option<Mapping<'g, SharedInfo>> {
        self.locked.map()
    }

    pub(crate) fn signal(self, eventfd: &EventFdRef<'g>) {
        drop(self.locked);
        eventfd.signal();
    }
}

/// As the module has it.
pub(crate) struct XenState<'a> {
    vm: Vm<'a>,
    table: &'a Table,
    _lock: MutexGuard<'a, ()>,
}

impl<'a> Vm<'a> {
    pub(crate) fn lock_xen<H>(self, _cx: &mut Ctx<'_, H>) -> XenState<'a>
    where
        H: MayEnter<XenLock>,
    {
        let table = &self.state().table;
        XenState {
            vm: self,
            table,
            _lock: table.lock.lock().expect("never poisoned"),
        }
    }
}

impl<'a> XenState<'a> {
    fn sender(&self, port: u32) -> Option<Arc<Sender>> {
        self.table.get(self.table.slot(port).load(Relaxed))
    }

    pub(crate) fn add_sender(&mut self, port: u32, sender: Owned) -> Result {
        let slot = self.table.slot(port);
        if slot.load(Relaxed) != NONE {
            return Err(EEXIST);
        }
        let order = match self.table.broken {
            Some(Broken::PublishedWithoutOrder) => Relaxed,
            _ => Release,
        };
        slot.store(self.table.keep(sender.0), order);
        Ok(())
    }

    pub(crate) fn remove_sender(&mut self, port: u32) -> Option<Retired<'a, Owned>> {
        let number = self.table.slot(port).swap(NONE, Release);
        let sender = self.table.get(number)?;
        let sender = Owned(KBox::from_raw(sender));
        Some(Retired::new(sender, self.vm.srcu()))
    }

    /// As the module does it: it waits for those that have `shared_info` locked.
    pub(crate) fn bind_sender(
        &mut self,
        port: u32,
        target: impl FnOnce(&Sender) -> Result<u32>,
    ) -> Result {
        let sender = self.sender(port).ok_or(ENOENT)?;
        let id = target(&sender)?;
        sender.bind(id);
        // SAFETY: The lock order is the module's business.
        let mut cx = unsafe { Ctx::<VmIoctl>::assert() };
        self.vm.shared_info().wait_for_readers(&mut cx);
        sender.bind(id);
        Ok(())
    }

    pub(crate) fn remove_all_senders(&mut self) -> Retired<'a, Senders> {
        let slots = self.table.slots.iter();
        let numbers = slots.map(|slot| slot.swap(NONE, Release));
        let senders = numbers.filter_map(|number| self.table.get(number));
        let senders = senders.map(|sender| Owned(KBox::from_raw(sender)));
        Retired::new(Senders(senders.collect()), self.vm.srcu())
    }
}
