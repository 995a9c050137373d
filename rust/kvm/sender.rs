// SPDX-License-Identifier: GPL-2.0

//! What a sending port leads to: KVM's `struct evtchnfd`.
//!
//! C and Rust may serve one VM at once, so this is C's structure, allocated and freed as C does.
//! It is looked up, and changed once it is in the table, with `shared_info` locked.

use super::{
    eventfd::EventFd,
    routing::{self, Route},
    Vm,
};
use crate::{abi::shared_info::SharedInfo, bindings, evtchn::port::Target, sync::gpc::Locked};
use core::{cell::UnsafeCell, marker::PhantomData, mem::ManuallyDrop, ptr::NonNull};
use kernel::{alloc::Flags, ffi::c_ulong, prelude::*, sync::rcu};

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
static_assert!(size_of::<Sender>() == 24);

/// Where an event sent through a port goes.
pub(crate) enum Sink {
    /// To a port of the same guest, not 0.
    Port {
        /// The port.
        port: u32,
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
    pub(crate) fn new(send_port: u32, kind: u32, sink: Sink) -> Self {
        // INVARIANT: A sink that is a port is not port 0.
        let deliver = match sink {
            Sink::Port {
                port,
                target,
                priority,
            } => Deliver {
                port: bindings::kvm_xen_evtchn {
                    port,
                    vcpu_id: target.id(),
                    vcpu_idx: target.raw_index(),
                    priority,
                },
            },
            Sink::EventFd(eventfd) => Deliver {
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

    /// Has what leads to a port lead to another vCPU.
    ///
    /// # Safety
    ///
    /// `sender` is one that leads to a port, which stays during the call, and which nobody reads
    /// the vCPU of meanwhile, unless by words and ready for any.
    pub(super) unsafe fn bind(sender: NonNull<Self>, target: Target) {
        // SAFETY: By the safety requirement.
        unsafe {
            let port = &raw mut (*(*sender.as_ptr()).deliver.get()).port;
            (&raw mut (*port).vcpu_id).write_volatile(target.id());
            (&raw mut (*port).vcpu_idx).write_volatile(target.raw_index());
        }
    }

    /// What kind of port it is for, as `EVTCHNSTAT_*`.
    pub(crate) fn kind(&self) -> u32 {
        self.kind
    }

    /// The port it leads to, or 0 when it leads to an eventfd.
    pub(crate) fn port(&self) -> u32 {
        // SAFETY: Both fields of the union start with this one.
        unsafe { (*self.deliver.get()).port.port }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if self.port() != 0 {
            return;
        }
        // SAFETY: By the invariant the eventfd is the valid field, and comes with a reference.
        if let Some(ctx) = NonNull::new(unsafe { (*self.deliver.get()).eventfd.ctx }) {
            // SAFETY: As above; nobody looks at the field again.
            drop(unsafe { EventFd::from_raw(ctx) });
        }
    }
}

/// A sender of its own, as the table owns it.
pub(crate) struct Owned(ManuallyDrop<KBox<Sender>>);

impl Owned {
    /// Allocates as `flags` say.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(sender: Sender, flags: Flags) -> Result<Self> {
        Ok(Self(ManuallyDrop::new(KBox::new(sender, flags)?)))
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

/// Where an event goes that is sent through a port.
pub(crate) enum Leads<'s> {
    /// To a port of the same guest.
    ToPort(Route),
    /// To an eventfd.
    ToEventFd(EventFdRef<'s>),
}

/// An eventfd that stays for `'s`, while the caller is in its read section of `kvm->srcu`.
pub(crate) struct EventFdRef<'s> {
    ctx: NonNull<bindings::eventfd_ctx>,
    _section: PhantomData<&'s ()>,
}

impl EventFdRef<'_> {
    /// Adds one to the eventfd's counter, and wakes who waits for it. Any context.
    pub(crate) fn signal(&self) {
        // SAFETY: The sender that `find` got this from has a reference, and is freed only after
        // the read section that the caller is still in.
        unsafe { bindings::eventfd_signal_mask(self.ctx.as_ptr(), 0) }
    }
}

/// Looks up where events go that are sent through `port`.
///
/// It may be taken out of the table at any time. Who does that waits until `table` is released if it
/// leads to a port, and until the read section ends if it leads to an eventfd; it is freed only after
/// that section in either case.
pub(crate) fn find<'s>(
    _table: &Locked<'s, SharedInfo>,
    vm: Vm<'_>,
    port: u32,
) -> Option<Leads<'s>> {
    let sender = {
        // What protects the table's own nodes.
        let _rcu = rcu::read_lock();
        // SAFETY: The table is initialized with the VM, and may be read inside of RCU.
        unsafe { bindings::idr_find(&raw const (*vm.xen()).evtchn_ports, port as c_ulong) }
    };
    let sender = NonNull::new(sender.cast::<Sender>())?.as_ptr();
    // SAFETY: It is freed only after the read section of `kvm->srcu`, which `table` is inside of.
    // C may be changing what leads to a port, so that is read by fields; whether it does never
    // changes, nor does an eventfd.
    unsafe {
        let deliver = (*sender).deliver.get();
        let port = &raw const (*deliver).port;
        if (&raw const (*port).port).read_volatile() != 0 {
            return Some(Leads::ToPort(routing::from_kernel(port)));
        }
        NonNull::new((*deliver).eventfd.ctx).map(|ctx| {
            Leads::ToEventFd(EventFdRef {
                ctx,
                _section: PhantomData,
            })
        })
    }
}
