// SPDX-License-Identifier: GPL-2.0

//! What a sending port leads to: KVM's `struct evtchnfd`.
//!
//! C and Rust may serve one VM at once, so this is C's structure, allocated and freed as C does.
//! Once it is in the table it is looked up, and its vCPU's index noted, inside of the gate
//! (`gate.rs`); it is bound to another vCPU under `xen_lock` (`xen_state.rs`).

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
    sync::{
        barrier::smp_wmb, gpc::Locked, order::GpcLock, srcu::DropAnywhere, Ctx, MayEnter, MaySleep,
        MayWake,
    },
};
use core::{
    cell::UnsafeCell, marker::PhantomData, mem::ManuallyDrop, num::NonZeroU32, ptr::NonNull,
};
use kernel::{
    ffi::{c_ulong, c_void},
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
    pub(crate) fn new<H: MaySleep>(_cx: &mut Ctx<'_, H>, sender: Sender) -> Result<Self> {
        // Not by `KBox::new()`, which asks for memory by way of `krealloc()`: that costs twice as
        // much.
        // SAFETY: The context may sleep.
        let raw = unsafe { bindings::kvm_xen_rs_alloc_sender() };
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

// SAFETY: It frees memory and lets go of an eventfd, which both may be done anywhere.
unsafe impl DropAnywhere for Owned {}

impl Drop for Owned {
    // Out of line, as it is dropped in many places.
    #[inline(never)]
    fn drop(&mut self) {
        // SAFETY: It is not used again.
        unsafe { ManuallyDrop::drop(&mut self.0) }
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
