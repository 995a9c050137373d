// SPDX-License-Identifier: GPL-2.0

//! The ports that the guest sends through: `KVM_XEN_ATTR_TYPE_EVTCHN`.
//!
//! Hypercalls look a port up without the leaf mutex, inside `kvm->srcu` and with `shared_info`
//! locked for reading, and deliver before they release that. So what was taken out of the table, or
//! changed, is out of use when those who have the lock then have released it: after the ioctl has
//! returned, no bit is set where it was before. An upcall or a kick for one that was may come later.
//! It is freed when no reader is left in `kvm->srcu`.

use crate::{
    bindings,
    evtchn::port::Port,
    kvm::{
        eventfd::EventFd,
        sender::{NewDestination, Owned, Sender},
        senders::Destinations,
        uapi::{EvtchnAttr, PRIO_2LEVEL},
        Target, Vm,
    },
    livepatch::transition,
    prelude::*,
    sync::{
        retired::Retired,
        srcu::{Callback, DropAnywhere},
        Ctx, VmIoctl,
    },
};
use core::num::NonZeroU32;

/// Changes the table as the attribute says. May sleep.
///
/// # Errors
///
/// `EINVAL` for a port that the guest does not have, 0 included, or flags that are none; and those
/// of the operation.
pub(crate) fn change(cx: &mut Ctx<'_, VmIoctl>, vm: Vm<'_>, attr: &EvtchnAttr) -> Result {
    // Before all else: the port means nothing to a reset.
    if attr.flags == bindings::KVM_XEN_EVTCHN_RESET {
        reset(cx, vm);
        return Ok(());
    }
    if attr.send_port == 0 || Port::new(attr.send_port, vm.word_size()).is_none() {
        return Err(EINVAL);
    }
    match attr.flags {
        0 => assign(cx, vm, attr),
        bindings::KVM_XEN_EVTCHN_DEASSIGN => deassign(cx, vm, attr.send_port),
        bindings::KVM_XEN_EVTCHN_UPDATE => update(cx, vm, attr),
        _ => Err(EINVAL),
    }
}

/// Assigns a sender to a port that has none.
///
/// # Errors
///
/// `EINVAL` for a kind of port that nothing can be sent through, a port to deliver to that does
/// not fit the kind, or a priority; `EBADF` or `EINVAL` for what is no eventfd; `EEXIST` for a port
/// that has a sender; `ENOMEM`.
fn assign(cx: &mut Ctx<'_, VmIoctl>, vm: Vm<'_>, attr: &EvtchnAttr) -> Result {
    let port = NonZeroU32::new(attr.port);
    let to = match (attr.kind, port) {
        // An IPI comes in through the port that it was sent through.
        (bindings::EVTCHNSTAT_ipi, Some(port)) if attr.port == attr.send_port => bound(attr, port)?,

        (bindings::EVTCHNSTAT_interdomain, None) => {
            NewDestination::EventFd(EventFd::from_fd(cx, attr.fd)?)
        }
        (bindings::EVTCHNSTAT_interdomain, Some(port))
            if Port::new(attr.port, vm.word_size()).is_some() =>
        {
            bound(attr, port)?
        }

        _ => return Err(EINVAL),
    };
    let sender = Owned::new(cx, Sender::new(attr.send_port, attr.kind, to))?;
    vm.lock_xen(cx).add_sender(attr.send_port, sender)
}

/// Binds a port that leads to a port to another vCPU.
///
/// # Errors
///
/// `ENOENT` for a port without a sender; `EINVAL` where the kind or the port to deliver to would
/// change, for what leads to an eventfd, or for a priority.
fn update(cx: &mut Ctx<'_, VmIoctl>, vm: Vm<'_>, attr: &EvtchnAttr) -> Result {
    vm.lock_xen(cx).bind_sender(attr.send_port, |sender| {
        if sender.kind() != attr.kind || sender.port() == 0 || sender.port() != attr.port {
            return Err(EINVAL);
        }
        check_priority(attr)?;
        Ok(attr.vcpu)
    })
}

/// Takes the sender away from a port.
///
/// # Errors
///
/// `ENOENT` for a port without a sender.
fn deassign(cx: &mut Ctx<'_, VmIoctl>, vm: Vm<'_>, port: u32) -> Result {
    let sender = vm.lock_xen(cx).remove_sender(port).ok_or(ENOENT)?;
    retire(cx, vm, sender);
    Ok(())
}

/// Takes the senders away from all ports.
fn reset(cx: &mut Ctx<'_, VmIoctl>, vm: Vm<'_>) {
    let senders = vm.lock_xen(cx).remove_all_senders();
    retire(cx, vm, senders);
}

/// Waits until nothing is sent through what was taken out of the table, and has it freed. May sleep,
/// but mostly takes no time.
fn retire<T>(cx: &mut Ctx<'_, VmIoctl>, vm: Vm<'_>, senders: Retired<'_, T>)
where
    T: Destinations + DropAnywhere,
{
    // C's hypercalls do not look senders up inside of the gate, nor are eventfds signalled there.
    if transition::is_over() {
        let callback = senders.get().ports().map(|count| Callback::new(cx, count));
        if let Some(Ok(callback)) = callback {
            vm.shared_info().wait_for_readers(cx);
            return senders.free_later(callback);
        }
    }
    senders.free(cx);
}

/// There is but one priority.
fn check_priority(attr: &EvtchnAttr) -> Result {
    match attr.priority {
        PRIO_2LEVEL => Ok(()),
        _ => Err(EINVAL),
    }
}

/// The port that the attribute leads to. The vCPU, which may come later, is looked up when an event
/// is for it.
fn bound(attr: &EvtchnAttr, port: NonZeroU32) -> Result<NewDestination> {
    check_priority(attr)?;
    Ok(NewDestination::Port {
        port,
        target: Target::by_id(attr.vcpu),
        priority: attr.priority,
    })
}
