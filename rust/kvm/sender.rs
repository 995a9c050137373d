// SPDX-License-Identifier: GPL-2.0

//! What a sending port leads to: KVM's `struct evtchnfd`.
//!
//! C and Rust may serve one VM at once, so this is C's structure, allocated and freed as C does.
//! It is looked up, and changed once it is in the table, inside of the gate (`gate.rs`).

use super::{
    bitops,
    eventfd::EventFd,
    routing::{self, Route},
    xarray, Target, Vcpu, Vm,
};
use crate::{
    abi::shared_info::SharedInfo,
    bindings,
    object::{self, field, Object},
    sync::{barrier::smp_wmb, gpc::Locked, order::GpcLock, Ctx, MayEnter, MaySleep, MayWake},
};
use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    mem::{ManuallyDrop, MaybeUninit},
    num::NonZeroU32,
    ptr::{self, NonNull},
};
use kernel::{
    ffi::{c_int, c_ulong, c_void},
    prelude::*,
    sync::rcu,
};

/// A sender, as the table has it: where an event sent through a port goes.
///
/// # Invariants
///
/// `deliver.port.port` is 0 just if `deliver.eventfd` is the valid field, whose `ctx` then comes
/// with a reference.
#[repr(C)]
pub(crate) struct Sender {
    send_port: u32,
    kind: u32,
    /// In a cell, as C notes here the index of the vCPU that it has found.
    deliver: UnsafeCell<Deliver>,
}

#[repr(C)]
union Deliver {
    port: bindings::kvm_xen_evtchn,
    eventfd: ToEventFd,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct ToEventFd {
    /// Where `port.port` is, to tell one from the other: 0.
    port: u32,
    ctx: *mut bindings::eventfd_ctx,
}

// SAFETY: An eventfd is counted, and any task may let go of it.
unsafe impl Send for Sender {}

// C has no header that says so, but its objects have these sizes in its `kmalloc()` calls.
static_assert!(size_of::<Sender>() == bindings::KVM_XEN_RS_SENDER_SIZE as usize);

/// Where a new sender is to lead to.
pub(crate) enum NewDestination {
    /// To a port of the same guest.
    Port {
        /// The port, which can't be 0: that tells it from an eventfd.
        port: NonZeroU32,
        /// The vCPU that it is bound to.
        target: Target,
        /// Its priority.
        priority: u32,
    },
    /// To an eventfd.
    EventFd(EventFd),
}

impl Sender {
    /// A sender of the kind `kind` (`EVTCHNSTAT_*`) for `send_port`.
    pub(crate) fn new(send_port: u32, kind: u32, to: NewDestination) -> Self {
        // INVARIANT: A port is not 0 by its type.
        let deliver = match to {
            NewDestination::Port {
                port,
                target,
                priority,
            } => Deliver {
                port: bindings::kvm_xen_evtchn {
                    port: port.get(),
                    vcpu_id: target.id(),
                    vcpu_idx: target.raw_index(),
                    priority,
                },
            },
            NewDestination::EventFd(eventfd) => Deliver {
                eventfd: ToEventFd {
                    port: 0,
                    ctx: eventfd.into_raw(),
                },
            },
        };
        Self {
            send_port,
            kind,
            deliver: UnsafeCell::new(deliver),
        }
    }

    /// Binds a sender that leads to a port to the vCPU with the VMM's number `id`, whose index is
    /// not known.
    ///
    /// # Safety
    ///
    /// `sender` is one that leads to a port, and nobody else binds it at the same time.
    pub(super) unsafe fn bind(sender: Object<'_, Self>, id: u32) {
        let port = field!(Self::deliver(sender), port);
        let (vcpu_idx, vcpu_id) = (field!(port, vcpu_idx), field!(port, vcpu_id));
        // SAFETY: Who uses the index in Rust checks that the vCPU is the one with the number; in C, goes to
        // the old vCPU until this is seen, as with an update of C's own. Who notes one meanwhile does
        // so by an atomic operation, or C in one piece.
        unsafe { vcpu_idx.write_once(Target::by_id(id).raw_index()) };
        // Who sees the new number sees no index from before.
        smp_wmb();
        // SAFETY: A sender has the old number or the new one: any is one, of a vCPU or of none.
        unsafe { vcpu_id.write_once(id) };
    }

    /// Where it leads to.
    #[inline(always)]
    fn deliver(sender: Object<'_, Self>) -> Object<'_, Deliver> {
        let cell = field!(sender, deliver).as_ptr();
        // SAFETY: What is in a cell is where the cell is.
        unsafe { object::part_of(sender, UnsafeCell::raw_get(cell)) }
    }

    /// What kind of port it is for, as `EVTCHNSTAT_*`.
    pub(crate) fn kind(&self) -> u32 {
        self.kind
    }

    /// The port it leads to, or 0 when it leads to an eventfd.
    pub(crate) fn port(&self) -> u32 {
        let port = self.deliver.get().cast::<u32>();
        // SAFETY: Both fields of the union start with this one, which never changes.
        unsafe { port.read() }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if self.port() != 0 {
            return;
        }
        // SAFETY: By the invariant the eventfd is the valid field. Its bytes are a pointer's, or null.
        let to = unsafe { self.deliver.get_mut().eventfd };
        if let Some(ctx) = NonNull::new(to.ctx) {
            // SAFETY: By the invariant it comes with a reference; nobody looks at the field again.
            drop(unsafe { EventFd::from_raw(ctx) });
        }
    }
}

/// A sender of its own, as the table owns it.
pub(crate) struct Owned(ManuallyDrop<KBox<Sender>>);

impl Owned {
    /// Allocates it. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    #[inline]
    pub(crate) fn new<H: MaySleep>(_cx: &mut Ctx<'_, H>, sender: Sender) -> Result<Self> {
        // Not by `KBox::new()`, which asks for memory by way of `krealloc()`: that costs twice as
        // much.
        // SAFETY: The context may sleep.
        let raw = unsafe { bindings::kvm_xen_rs_alloc_sender(bindings::GFP_KERNEL) };
        let raw = NonNull::new(raw.cast::<Sender>()).ok_or(ENOMEM)?;
        // SAFETY: It is room for a sender, aligned as all that `kmalloc()` returns, which nobody else
        // has.
        unsafe { raw.write(sender) };
        // SAFETY: It is allocated as C does, and has no owner yet.
        Ok(unsafe { Self::from_raw(raw) })
    }

    /// The port it leads to, or 0 when it leads to an eventfd.
    pub(crate) fn port(&self) -> u32 {
        self.0.port()
    }

    /// Gives it away, to the table.
    pub(super) fn into_raw(mut self) -> NonNull<Sender> {
        let sender = NonNull::from(&mut **self.0);
        core::mem::forget(self);
        sender
    }

    /// Takes it back.
    ///
    /// # Safety
    ///
    /// `sender` is from [`into_raw`](Self::into_raw), or was allocated so by C, and has no owner.
    pub(super) unsafe fn from_raw(sender: NonNull<Sender>) -> Self {
        // SAFETY: By the safety requirement; C's `kmalloc()` is what `KBox` allocates by.
        Self(ManuallyDrop::new(unsafe {
            KBox::from_raw(sender.as_ptr())
        }))
    }
}

impl Drop for Owned {
    // Out of line, as it is dropped in many places.
    #[inline(never)]
    fn drop(&mut self) {
        // SAFETY: It is not used again.
        unsafe { ManuallyDrop::drop(&mut self.0) }
    }
}

/// What may lead to eventfds, and not to the guest's ports alone.
pub(crate) trait LeadsOut {
    /// How many senders it is, at most 4095, if none of them leads to an eventfd.
    fn inside(&self) -> Option<u16>;
}

impl LeadsOut for Owned {
    fn inside(&self) -> Option<u16> {
        (self.port() != 0).then_some(1)
    }
}

/// All senders of a table.
///
/// # Invariants
///
/// The table is initialized and not locked, and what is in it are senders that it owns.
pub(crate) struct Senders(UnsafeCell<bindings::idr>);

// SAFETY: As for a single one.
unsafe impl Send for Senders {}

impl Senders {
    /// Takes them out of a table.
    ///
    /// # Safety
    ///
    /// The table is initialized, has senders alone, and nobody else changes it meanwhile.
    pub(super) unsafe fn take(table: *mut bindings::idr) -> Self {
        let mut taken = MaybeUninit::uninit();
        // SAFETY: By the safety requirement: readers, who may be there, are left the nodes.
        unsafe { bindings::kvm_xen_rs_idr_take(table, taken.as_mut_ptr()) };
        // INVARIANT: They were the table's own.
        // SAFETY: The call has initialized it. It may be moved: what is in it does not point to it.
        Self(UnsafeCell::new(unsafe { taken.assume_init() }))
    }
}

impl LeadsOut for Senders {
    fn inside(&self) -> Option<u16> {
        /// Counts one that leads to a port; not 0 for another.
        ///
        /// # Safety
        ///
        /// `sender` is one that stays meanwhile, and `count` a number of the caller's.
        unsafe extern "C" fn count(_port: c_int, sender: *mut c_void, count: *mut c_void) -> c_int {
            // SAFETY: By the safety requirement. What others write to meanwhile is in a cell.
            let sender = unsafe { &*sender.cast::<Sender>() };
            // SAFETY: By the safety requirement.
            let count = unsafe { &mut *count.cast::<u16>() };
            // There are no more than 4095 ports.
            *count = count.wrapping_add(1);
            (sender.port() == 0).into()
        }
        let mut inside = 0_u16;
        let argument = (&raw mut inside).cast();
        // SAFETY: By the invariant the table has senders alone; nobody changes it.
        let leads_out = unsafe { bindings::idr_for_each(self.0.get(), Some(count), argument) != 0 };
        (!leads_out).then_some(inside)
    }
}

impl Drop for Senders {
    fn drop(&mut self) {
        /// 0, to go on.
        ///
        /// # Safety
        ///
        /// `sender` is one that the caller owns, and looks at no more.
        unsafe extern "C" fn free(_port: c_int, sender: *mut c_void, _: *mut c_void) -> c_int {
            if let Some(sender) = NonNull::new(sender.cast::<Sender>()) {
                // SAFETY: By the safety requirement.
                drop(unsafe { Owned::from_raw(sender) });
            }
            0
        }
        // SAFETY: By the invariant the table owns what is in it, and has senders alone.
        unsafe { bindings::idr_for_each(self.0.get(), Some(free), ptr::null_mut()) };
        // SAFETY: Nobody uses the table any more; its nodes are freed by RCU, for whoever looked a port
        // up.
        unsafe { bindings::idr_destroy(self.0.get()) };
    }
}

/// Where an event goes that is sent through a port.
pub(crate) enum Destination<'s> {
    /// A port of the same guest.
    Port(Route, SenderRef<'s>),
    /// An eventfd.
    EventFd(EventFdRef<'s>),
}

/// A sender that leads to a port, while the caller is in its read-side critical section of
/// `kvm->srcu`.
///
/// # Invariants
///
/// It does lead to a port.
pub(crate) struct SenderRef<'s>(Object<'s, Sender>);

impl SenderRef<'_> {
    /// Notes the index of its vCPU, for the next time, unless one is noted already.
    ///
    /// With the gate held, as the vCPU may be about to be another: who changes that waits for the
    /// lock, and then forgets what was noted.
    pub(super) fn note<S>(&self, _gate: &Locked<'_, S>, vcpu: Vcpu<'_>) {
        let unknown = Target::by_id(0).raw_index() as u32;
        let index = field!(Sender::deliver(self.0), port.vcpu_idx).as_ptr();
        // SAFETY: By the invariant the field is a number. C and `bind` write it in one piece, and read
        // it so.
        unsafe { bitops::compare_and_set(index.cast(), unknown, vcpu.index()) };
    }
}

/// An eventfd that stays for `'s`, while the caller is in its read-side critical section of
/// `kvm->srcu`.
pub(crate) struct EventFdRef<'s> {
    ctx: NonNull<bindings::eventfd_ctx>,
    _section: PhantomData<&'s ()>,
}

impl EventFdRef<'_> {
    /// Adds one to the eventfd's counter, and wakes who waits for it, which may take the locks of
    /// other VMs' caches.
    pub(super) fn signal<H: MayWake + MayEnter<GpcLock>>(&self, _cx: &mut Ctx<'_, H>) {
        // SAFETY: The sender that `find` got this from has a reference, and is freed only after the
        // read-side critical section that the caller is in for `'s`.
        unsafe { bindings::eventfd_signal_mask(self.ctx.as_ptr(), 0) }
    }
}

/// Looks up where events go that are sent through `port`: see [`Gate::find`](super::gate::Gate::find).
///
/// # Safety
///
/// `gate` is the lock of the `shared_info` of `vm`, taken in a read-side critical section of its
/// `kvm->srcu` that the caller is in for `'s`.
#[inline(always)]
pub(super) unsafe fn find<'s>(
    gate: &Locked<'s, SharedInfo>,
    vm: Vm<'_>,
    port: u32,
) -> Option<Destination<'s>> {
    let array = field!(vm.xen(), evtchn_ports.idr_rt);
    // SAFETY: The table is initialized with the VM, begins at 0, and has senders alone.
    let found = unsafe { xarray::load_locked(gate, array, port as c_ulong) };
    let found = found.unwrap_or_else(|| find_by_c(vm, port));
    let found = NonNull::new(found.cast::<Sender>())?;
    // SAFETY: It is freed only after the read-side critical section of `kvm->srcu` that the caller
    // is in. Who changes what leads to a port, C or `bind`, does so by words.
    let sender = unsafe { Object::from_raw(found.as_ptr()) };
    let deliver = Sender::deliver(sender);
    // Whether it leads to a port never changes, nor does an eventfd.
    if field!(deliver, port.port).read_once() != 0 {
        let route = routing::from_kernel(field!(deliver, port));
        // INVARIANT: It does, as we have just seen.
        return Some(Destination::Port(route, SenderRef(sender)));
    }
    NonNull::new(field!(deliver, eventfd.ctx).read_once()).map(|ctx| {
        Destination::EventFd(EventFdRef {
            ctx,
            _section: PhantomData,
        })
    })
}

/// What the table has for `port`.
#[cold]
#[inline(never)]
fn find_by_c(vm: Vm<'_>, port: u32) -> *mut c_void {
    // What protects the table's own nodes.
    let _rcu = rcu::read_lock();
    let table = field!(vm.xen(), evtchn_ports).as_ptr();
    // SAFETY: The table is initialized with the VM, and may be read inside of RCU.
    unsafe { bindings::idr_find(table, port as c_ulong) }
}
