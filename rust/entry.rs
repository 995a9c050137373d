// SPDX-License-Identifier: GPL-2.0

//! The C boundary: the functions of kvm.ko that this module replaces.
//!
//! Each has the name and the signature of the original, so that `perf`, `ftrace` and `grep` find
//! it, and does three things: it states the context that KVM calls it in, it hands over to the
//! logic, and it turns what comes back into KVM's return value. This is the one place where a
//! context is asserted rather than derived.
//!
//! The pointers are KVM's: to a VM or vCPU that the caller keeps alive, and to structures that are
//! the caller's own. That is what "as KVM calls it" stands for below.

use crate::{
    attr,
    bindings::{
        self, kvm, kvm_irq_routing_entry, kvm_irq_routing_xen_evtchn, kvm_kernel_irq_routing_entry,
        kvm_xen_evtchn, kvm_xen_hvm_attr,
    },
    evtchn::{deliver::Delivery, route, send},
    kvm::{routing, uapi::HvmAttr, Vm},
    sync::Ctx,
};
use core::ptr::NonNull;
use kernel::{ffi::c_int, prelude::*};

/// The type of KVM's static `evtchn_set_fn()`: that of `set` in a routing entry.
pub(crate) type SetFn =
    unsafe extern "C" fn(*mut kvm_kernel_irq_routing_entry, *mut kvm, c_int, c_int, bool) -> c_int;

/// What `kvm_set_irq()` makes of a delivery: below 0, ignored; 0, coalesced; above, delivered.
#[inline(always)]
fn irq_result(delivery: Result<Delivery>) -> c_int {
    match delivery {
        Ok(Delivery::Raised) => 1,
        Ok(Delivery::Coalesced) => 0,
        Ok(Delivery::Masked) => -(bindings::ENOTCONN as c_int),
        Err(error) => error.to_errno(),
    }
}

/// What an ioctl returns.
#[inline(always)]
fn ioctl_result<T>(result: Result<T>) -> c_int {
    result.map_or_else(|error| error.to_errno(), |_| 0)
}

/// The VM behind one of KVM's pointers.
///
/// # Safety
///
/// `kvm` is a VM with its Xen state initialized, which the caller keeps until `'a` ends.
#[inline(always)]
unsafe fn vm<'a>(kvm: *mut kvm) -> Vm<'a> {
    // SAFETY: By the safety requirement; KVM passes no null pointers.
    unsafe { Vm::from_raw(NonNull::new_unchecked(kvm)) }
}

/// Delivers an event at once or not at all: for an irqfd, with a spinlock held and interrupts
/// off; for the timer, in hard interrupt context; and first of all for everybody else.
///
/// # Safety
///
/// As KVM calls it.
#[no_mangle]
pub(crate) unsafe extern "C" fn kvm_xen_set_evtchn_fast(
    xe: *mut kvm_xen_evtchn,
    kvm: *mut kvm,
) -> c_int {
    // SAFETY: As KVM calls it. Nothing is assumed of the context.
    let (mut cx, vm, route) = unsafe { (Ctx::assert(), vm(kvm), routing::from_kernel(xe)) };
    irq_result(route::set_inatomic(&mut cx, vm, route))
}

/// Delivers an event that comes by a route: from the irqfd workqueue, from a thread of KVM's, or
/// from `KVM_IRQ_LINE`. It may sleep and holds nothing.
///
/// # Safety
///
/// As KVM calls it.
#[no_mangle]
pub(crate) unsafe extern "C" fn evtchn_set_fn(
    e: *mut kvm_kernel_irq_routing_entry,
    kvm: *mut kvm,
    _irq_source_id: c_int,
    level: c_int,
    _line_status: bool,
) -> c_int {
    // An event has no level, so that there is nothing to take back.
    if level == 0 {
        return EINVAL.to_errno();
    }
    // SAFETY: As KVM calls it, with the entry copied out of the table: `kvm_set_irq()` has left
    // the read section of `irq_srcu`.
    let (mut cx, vm, route) = unsafe {
        let evtchn = &raw const (*e).__bindgen_anon_1.xen_evtchn;
        (Ctx::assert(), vm(kvm), routing::from_kernel(evtchn))
    };
    irq_result(route::set(&mut cx, vm, route))
}

/// Fills in an entry of a new routing table.
///
/// # Safety
///
/// As KVM calls it.
#[no_mangle]
pub(crate) unsafe extern "C" fn kvm_xen_setup_evtchn(
    kvm: *mut kvm,
    e: *mut kvm_kernel_irq_routing_entry,
    ue: *const kvm_irq_routing_entry,
) -> c_int {
    // SAFETY: As KVM calls it; the entry is not in use yet.
    let (vm, entry, user) = unsafe { (vm(kvm), &mut *e, &*ue) };
    ioctl_result(
        route::setup(vm, routing::from_user(user)).map(|route| routing::fill(entry, route)),
    )
}

/// The ioctl `KVM_XEN_HVM_EVTCHN_SEND`.
///
/// # Safety
///
/// As KVM calls it.
#[no_mangle]
pub(crate) unsafe extern "C" fn kvm_xen_hvm_evtchn_send(
    kvm: *mut kvm,
    evt: *mut kvm_irq_routing_xen_evtchn,
) -> c_int {
    // SAFETY: As KVM calls it: an ioctl of a VM holds nothing.
    let (mut cx, vm, to) = unsafe { (Ctx::assert(), vm(kvm), routing::from_user_evtchn(&*evt)) };
    ioctl_result(send::from_vmm(&mut cx, vm, to))
}

/// The ioctl `KVM_XEN_HVM_SET_ATTR`.
///
/// # Safety
///
/// As KVM calls it.
#[no_mangle]
pub(crate) unsafe extern "C" fn kvm_xen_hvm_set_attr(
    kvm: *mut kvm,
    data: *mut kvm_xen_hvm_attr,
) -> c_int {
    // SAFETY: As KVM calls it: an ioctl of a VM holds nothing, and `data` is its own copy.
    let (mut cx, vm, attr) = unsafe { (Ctx::assert(), vm(kvm), HvmAttr(&mut *data)) };
    ioctl_result(attr::vm::set(&mut cx, vm, &attr))
}

/// The ioctl `KVM_XEN_HVM_GET_ATTR`.
///
/// # Safety
///
/// As KVM calls it.
#[no_mangle]
pub(crate) unsafe extern "C" fn kvm_xen_hvm_get_attr(
    kvm: *mut kvm,
    data: *mut kvm_xen_hvm_attr,
) -> c_int {
    // SAFETY: As KVM calls it: an ioctl of a VM holds nothing, and `data` is its own copy.
    let (mut cx, vm, mut attr) = unsafe { (Ctx::assert(), vm(kvm), HvmAttr(&mut *data)) };
    ioctl_result(attr::vm::get(&mut cx, vm, &mut attr))
}

/// The ioctl `KVM_XEN_HVM_CONFIG`.
///
/// # Safety
///
/// As KVM calls it.
#[no_mangle]
pub(crate) unsafe extern "C" fn kvm_xen_hvm_config(
    kvm: *mut kvm,
    xhc: *mut bindings::kvm_xen_hvm_config,
) -> c_int {
    // SAFETY: As KVM calls it: an ioctl of a VM holds nothing, and `xhc` is its own copy.
    let (mut cx, vm, config) = unsafe { (Ctx::assert(), vm(kvm), &*xhc) };
    ioctl_result(attr::config::set(&mut cx, vm, config))
}
