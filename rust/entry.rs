// SPDX-License-Identifier: GPL-2.0

//! The C boundary: the functions of kvm.ko that this module replaces.
//!
//! Each has the name and the signature of the original, so that `perf`, `ftrace` and `grep` find
//! it, and does three things: it states the context that KVM calls it in, it hands over to the
//! logic, and it turns what comes back into KVM's return value. Elsewhere a context is asserted
//! only where another has been left for it.
//!
//! The pointers are KVM's: to a VM or vCPU that the caller keeps alive, and to structures that are
//! the caller's own. That is what "as KVM calls it" stands for below.

use crate::{
    abi::runstate::State,
    attr,
    bindings::{
        self, hrtimer, hrtimer_restart, kvm, kvm_irq_routing_entry, kvm_irq_routing_xen_evtchn,
        kvm_kernel_irq_routing_entry, kvm_vcpu, kvm_xen_evtchn, kvm_xen_hvm_attr,
        kvm_xen_vcpu_attr, timer_list,
    },
    evtchn::{route, send},
    hypercall::{self, page},
    kernels::HRTIMER_NORESTART,
    kvm::{
        exit, lifecycle, routing,
        task::Asked,
        timers,
        uapi::{HvmAttr, VcpuAttr},
        witness::Call,
        OwnVcpu, Vcpu, Vm,
    },
    object::{field, Object},
    sync::{
        Anywhere, Ctx, Destruction, Held, InKvmRun, SchedOut, SetIrq, TimerHardIrq, TimerSoftirq,
        VcpuIoctl, VmIoctl,
    },
    vcpu::{info, runstate, timer},
};
use core::arch::asm;
use kernel::{ffi::c_int, prelude::*};

/// The type of KVM's static `xen_timer_callback()`: that of a callback in an hrtimer.
pub(crate) type HrtimerFn = unsafe extern "C" fn(*mut hrtimer) -> hrtimer_restart;

/// The type of KVM's static `cancel_evtchn_poll()`: that of a callback in a timer.
pub(crate) type TimerFn = unsafe extern "C" fn(*mut timer_list);

/// The type of KVM's static `kvm_xen_hypercall_complete_userspace()`: that of
/// `complete_userspace_io` in a vCPU.
pub(crate) type CompleteFn = unsafe extern "C" fn(*mut kvm_vcpu) -> c_int;

/// The type of KVM's static `evtchn_set_fn()`: that of `set` in a routing entry.
pub(crate) type SetFn =
    unsafe extern "C" fn(*mut kvm_kernel_irq_routing_entry, *mut kvm, c_int, c_int, bool) -> c_int;

/// What the logic returns, with the replaced function on the stack until then.
///
/// Livepatch lets go of a task, and of this module, when it finds none of these functions on the
/// task's stack. A tail call would hide that the task sleeps in what was called, and has yet to
/// return to the module. `make check` looks for such jumps.
///
/// Inline on every kernel: a jump to this would hide it as well.
#[inline(always)]
fn framed<T>(call: impl FnOnce() -> T) -> T {
    let result = call();
    // SAFETY: There is no instruction. The compiler takes it for one that comes after the call.
    unsafe { asm!("", options(nostack, preserves_flags)) };
    result
}

/// What an ioctl returns.
#[inline(always)]
fn ioctl_result<T>(result: Result<T>) -> c_int {
    result.map_or_else(|error| error.to_errno(), |_| 0)
}

/// The VM behind one of KVM's pointers, and the context that KVM calls for it in.
///
/// # Safety
///
/// `kvm` is a VM with its Xen state initialized, which the caller keeps until `'a` ends, and the task is
/// inside of all levels in `H` as long.
#[inline(always)]
unsafe fn enter_vm<'a, H: Held>(kvm: *mut kvm) -> (Ctx<'a, H>, Vm<'a>) {
    // SAFETY: By the safety requirement.
    let vm = unsafe { Vm::from_raw(kvm) };
    // SAFETY: By the safety requirement.
    (unsafe { Ctx::assert_before(&Call::of_vm(vm)) }, vm)
}

/// The vCPU behind one of KVM's pointers, and the context that KVM calls for it in.
///
/// # Safety
///
/// `vcpu` is a vCPU with its Xen state initialized, which the caller keeps until `'a` ends, and the task
/// is inside of all levels in `H` as long.
#[inline(always)]
unsafe fn enter_vcpu<'a, H: Held>(vcpu: *mut kvm_vcpu) -> (Ctx<'a, H>, Vcpu<'a>) {
    // SAFETY: By the safety requirement.
    let vcpu = unsafe { Vcpu::from_raw(vcpu) };
    // SAFETY: By the safety requirement.
    (unsafe { Ctx::assert_before(&Call::of_vcpu(vcpu)) }, vcpu)
}

/// The vCPU behind one of KVM's pointers, which is the task's own, and the context that KVM calls for
/// it in.
///
/// # Safety
///
/// As for [`enter_vcpu`], and the vCPU is the task's own until `'a` ends: see [`OwnVcpu`].
#[inline(always)]
unsafe fn enter_own_vcpu<'a, H: Held>(vcpu: *mut kvm_vcpu) -> (Ctx<'a, H>, OwnVcpu<'a>) {
    // SAFETY: By the safety requirement.
    let (cx, vcpu) = unsafe { enter_vcpu(vcpu) };
    // SAFETY: By the safety requirement.
    (cx, unsafe { OwnVcpu::assert(vcpu) })
}

/// The VM of an ioctl that holds nothing, and its copy of what the user has handed over.
///
/// # Safety
///
/// As for [`enter_vm`], and `data` is the caller's own until `'a` ends.
#[inline(always)]
unsafe fn enter_ioctl_of_vm<'a, T>(
    kvm: *mut kvm,
    data: *mut T,
) -> (Ctx<'a, VmIoctl>, Vm<'a>, &'a mut T) {
    // SAFETY: By the safety requirement.
    let (cx, vm) = unsafe { enter_vm(kvm) };
    // SAFETY: By the safety requirement.
    (cx, vm, unsafe { &mut *data })
}

/// The vCPU of an ioctl that holds its mutex, and its copy of what the user has handed over.
///
/// # Safety
///
/// As for [`enter_own_vcpu`], and `data` is the caller's own until `'a` ends.
#[inline(always)]
unsafe fn enter_ioctl_of_vcpu<'a, T>(
    vcpu: *mut kvm_vcpu,
    data: *mut T,
) -> (Ctx<'a, VcpuIoctl>, OwnVcpu<'a>, &'a mut T) {
    // SAFETY: By the safety requirement.
    let (cx, vcpu) = unsafe { enter_own_vcpu(vcpu) };
    // SAFETY: By the safety requirement.
    (cx, vcpu, unsafe { &mut *data })
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
    let (mut cx, vm) = unsafe { enter_vm::<Anywhere>(kvm) };
    // SAFETY: As KVM calls it: the caller's own, or in a routing table or a sender that the caller
    // is in a read-side critical section for, which nobody changes but by words.
    let route = routing::from_kernel(unsafe { Object::from_raw(xe) });
    framed(|| route::set_inatomic(&mut cx, vm, route)).into_raw()
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
    // SAFETY: As KVM calls it: `kvm_set_irq()` has left the read-side critical section of
    // `irq_srcu`.
    let (mut cx, vm) = unsafe { enter_vm::<SetIrq>(kvm) };
    // SAFETY: As KVM calls it, with the entry copied out of the table.
    let e = unsafe { Object::from_raw(e) };
    let route = routing::from_kernel(field!(e, __bindgen_anon_1.xen_evtchn));
    framed(|| route::set(&mut cx, vm, route)).into_raw()
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
    // SAFETY: As KVM calls it.
    let vm = unsafe { Vm::from_raw(kvm) };
    // SAFETY: As KVM calls it: the entry is the caller's own, and not in use yet.
    let entry = unsafe { &mut *e };
    // SAFETY: As KVM calls it, with a copy of its own.
    let user = unsafe { &*ue };
    let route = framed(|| route::setup(vm, routing::from_user(user)));
    ioctl_result(route.map(|route| routing::fill(entry, route)))
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
    // SAFETY: As KVM calls it.
    let (mut cx, vm, evt) = unsafe { enter_ioctl_of_vm(kvm, evt) };
    let to = routing::from_user_evtchn(evt);
    framed(|| ioctl_result(send::from_vmm(&mut cx, vm, to)))
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
    // SAFETY: As KVM calls it.
    let (mut cx, vm, data) = unsafe { enter_ioctl_of_vm(kvm, data) };
    let attr = HvmAttr(data);
    framed(|| ioctl_result(attr::vm::set(&mut cx, vm, &attr)))
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
    // SAFETY: As KVM calls it.
    let (mut cx, vm, data) = unsafe { enter_ioctl_of_vm(kvm, data) };
    let mut attr = HvmAttr(data);
    framed(|| ioctl_result(attr::vm::get(&mut cx, vm, &mut attr)))
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
    // SAFETY: As KVM calls it.
    let (mut cx, vm, config) = unsafe { enter_ioctl_of_vm(kvm, xhc) };
    framed(|| ioctl_result(attr::config::set(&mut cx, vm, config)))
}

/// The ioctl `KVM_XEN_VCPU_SET_ATTR`.
///
/// # Safety
///
/// As KVM calls it.
#[no_mangle]
pub(crate) unsafe extern "C" fn kvm_xen_vcpu_set_attr(
    vcpu: *mut kvm_vcpu,
    data: *mut kvm_xen_vcpu_attr,
) -> c_int {
    // SAFETY: As KVM calls it.
    let (mut cx, vcpu, data) = unsafe { enter_ioctl_of_vcpu(vcpu, data) };
    let attr = VcpuAttr(data);
    framed(|| ioctl_result(attr::vcpu::set(&mut cx, vcpu, &attr)))
}

/// The ioctl `KVM_XEN_VCPU_GET_ATTR`.
///
/// # Safety
///
/// As KVM calls it.
#[no_mangle]
pub(crate) unsafe extern "C" fn kvm_xen_vcpu_get_attr(
    vcpu: *mut kvm_vcpu,
    data: *mut kvm_xen_vcpu_attr,
) -> c_int {
    // SAFETY: As KVM calls it.
    let (mut cx, vcpu, data) = unsafe { enter_ioctl_of_vcpu(vcpu, data) };
    let mut attr = VcpuAttr(data);
    framed(|| ioctl_result(attr::vcpu::get(&mut cx, vcpu, &mut attr)))
}

/// The vCPU runs, or is preempted, from now on.
///
/// # Safety
///
/// As KVM calls it.
#[no_mangle]
pub(crate) unsafe extern "C" fn kvm_xen_update_runstate(vcpu: *mut kvm_vcpu, state: c_int) {
    // KVM has no others.
    let Some(state) = State::from_u64(state as u64) else {
        return;
    };
    // SAFETY: As KVM calls it.
    let known = unsafe { Vcpu::from_raw(vcpu) };
    // SAFETY: KVM calls it on the vCPU's own task, from within the scheduler too.
    let own = unsafe { OwnVcpu::assert(known) };
    if !framed(|| runstate::account(own, state)) {
        return;
    }
    if state == State::Runnable {
        // SAFETY: KVM calls it so when the vCPU's task is scheduled out: it may not sleep, and the
        // caller is in a read-side critical section of `kvm->srcu`.
        let (mut cx, vcpu) = unsafe { enter_own_vcpu::<SchedOut>(vcpu) };
        framed(|| runstate::update_preempted(&mut cx, vcpu));
    } else {
        // SAFETY: KVM calls it so inside `KVM_RUN`, on the way into the guest.
        let (mut cx, vcpu) = unsafe { enter_own_vcpu::<InKvmRun>(vcpu) };
        framed(|| runstate::update(&mut cx.may_refresh(), vcpu));
    }
}

/// Whether the vCPU's upcall is to be made. From any context: see `has_interrupt`.
///
/// # Safety
///
/// As KVM calls it.
#[no_mangle]
pub(crate) unsafe extern "C" fn __kvm_xen_has_interrupt(vcpu: *mut kvm_vcpu) -> c_int {
    // SAFETY: As KVM calls it. Nothing is assumed of the context.
    let (mut cx, vcpu) = unsafe { enter_vcpu::<Anywhere>(vcpu) };
    // SAFETY: KVM asks so on its own vCPU threads alone, which hold `vcpu->mutex`.
    let vcpu = unsafe { Asked::assert(vcpu) };
    framed(|| info::has_interrupt(&mut cx, vcpu)).into()
}

/// Writes the events that were noted in the kernel to the guest.
///
/// # Safety
///
/// As KVM calls it.
#[no_mangle]
pub(crate) unsafe extern "C" fn kvm_xen_inject_pending_events(vcpu: *mut kvm_vcpu) {
    // SAFETY: As KVM calls it: inside `KVM_RUN`.
    let (mut cx, vcpu) = unsafe { enter_own_vcpu::<InKvmRun>(vcpu) };
    framed(|| info::inject_pending_events(&mut cx, vcpu));
}

/// Raises the vCPU's own upcall vector. From any context.
///
/// # Safety
///
/// As KVM calls it.
#[no_mangle]
pub(crate) unsafe extern "C" fn kvm_xen_inject_vcpu_vector(vcpu: *mut kvm_vcpu) {
    // SAFETY: As KVM calls it. Nothing is assumed of the context.
    let (mut cx, vcpu) = unsafe { enter_vcpu::<Anywhere>(vcpu) };
    framed(|| vcpu.inject_upcall_vector(&mut cx));
}

/// Delivers the event of a timer that fired when that could not be done.
///
/// # Safety
///
/// As KVM calls it.
#[no_mangle]
pub(crate) unsafe extern "C" fn kvm_xen_inject_timer_irqs(vcpu: *mut kvm_vcpu) {
    // SAFETY: As KVM calls it: inside `KVM_RUN`.
    let (mut cx, vcpu) = unsafe { enter_own_vcpu::<InKvmRun>(vcpu) };
    framed(|| timer::inject_pending(&mut cx.may_refresh(), vcpu));
}

/// The singleshot timer fires, in hard interrupt context.
///
/// # Safety
///
/// As the kernel calls it.
#[no_mangle]
pub(crate) unsafe extern "C" fn xen_timer_callback(timer: *mut hrtimer) -> hrtimer_restart {
    let vcpu = timers::vcpu_of(timer);
    // SAFETY: The timer is that of a vCPU, which cancels it before it is destroyed, and a hard one.
    let (mut cx, vcpu) = unsafe { enter_vcpu::<TimerHardIrq>(vcpu) };
    // SAFETY: This is the callback.
    let state = unsafe { timers::TimerState::in_callback(vcpu) };
    framed(|| timer::fire_in_hardirq(&mut cx, state));
    HRTIMER_NORESTART
}

/// The timeout of a poll is over, in a soft interrupt.
///
/// # Safety
///
/// As the kernel calls it.
#[no_mangle]
pub(crate) unsafe extern "C" fn cancel_evtchn_poll(timer: *mut timer_list) {
    let vcpu = timers::vcpu_of_poll(timer);
    // SAFETY: The timer is that of a vCPU, which cancels it before it is destroyed, and one that is
    // called in a soft interrupt.
    let (mut cx, vcpu) = unsafe { enter_vcpu::<TimerSoftirq>(vcpu) };
    framed(|| vcpu.unblock(&mut cx));
}

/// The guest has written to the MSR of the hypercall page. 0, 1 for a fault, or an error.
///
/// # Safety
///
/// As KVM calls it.
#[no_mangle]
pub(crate) unsafe extern "C" fn kvm_xen_write_hypercall_page(
    vcpu: *mut kvm_vcpu,
    data: u64,
) -> c_int {
    // SAFETY: As KVM calls it: inside `KVM_RUN`, or in an ioctl that enters a read-side critical
    // section too.
    let (mut cx, vcpu) = unsafe { enter_own_vcpu::<InKvmRun>(vcpu) };
    match framed(|| page::write(&mut cx, vcpu, data)) {
        Ok(()) => 0,
        Err(page::Refused::Fault) => 1,
        Err(page::Refused::Failed(error)) => error.to_errno(),
    }
}

/// The guest makes a hypercall.
///
/// # Safety
///
/// As KVM calls it.
#[no_mangle]
pub(crate) unsafe extern "C" fn kvm_xen_hypercall(vcpu: *mut kvm_vcpu) -> c_int {
    // SAFETY: As KVM calls it: inside `KVM_RUN`.
    let (mut cx, vcpu) = unsafe { enter_own_vcpu::<InKvmRun>(vcpu) };
    framed(|| hypercall::take(&mut cx, vcpu)).0
}

/// The VMM has handled a hypercall.
///
/// # Safety
///
/// As KVM calls it.
#[no_mangle]
pub(crate) unsafe extern "C" fn kvm_xen_hypercall_complete_userspace(vcpu: *mut kvm_vcpu) -> c_int {
    // SAFETY: As KVM calls it: inside `KVM_RUN`.
    let (mut cx, vcpu) = unsafe { enter_own_vcpu::<InKvmRun>(vcpu) };
    framed(|| exit::complete_from_vmm(&mut cx, vcpu)).0
}

/// A VM is being created.
///
/// # Safety
///
/// As KVM calls it.
#[no_mangle]
pub(crate) unsafe extern "C" fn kvm_xen_init_vm(kvm: *mut kvm) {
    // SAFETY: As KVM calls it.
    framed(|| unsafe { lifecycle::init_vm(kvm) })
}

/// A VM is being destroyed, with all of its vCPUs gone.
///
/// # Safety
///
/// As KVM calls it.
#[no_mangle]
pub(crate) unsafe extern "C" fn kvm_xen_destroy_vm(kvm: *mut kvm) {
    // SAFETY: As KVM calls it: nothing that matters here is held.
    let (mut cx, vm) = unsafe { enter_vm::<Destruction>(kvm) };
    // SAFETY: As KVM calls it: the last reference is gone, and so are the vCPUs and irqfds.
    framed(|| unsafe { lifecycle::destroy_vm(&mut cx, vm) });
}

/// A vCPU is being created.
///
/// # Safety
///
/// As KVM calls it.
#[no_mangle]
pub(crate) unsafe extern "C" fn kvm_xen_init_vcpu(vcpu: *mut kvm_vcpu) {
    // SAFETY: As KVM calls it.
    framed(|| unsafe { lifecycle::init_vcpu(vcpu) })
}

/// A vCPU is being destroyed, out of the guest for good.
///
/// # Safety
///
/// As KVM calls it.
#[no_mangle]
pub(crate) unsafe extern "C" fn kvm_xen_destroy_vcpu(vcpu: *mut kvm_vcpu) {
    // SAFETY: As KVM calls it: nothing that matters here is held, and nobody else has the vCPU.
    let (mut cx, own) = unsafe { enter_own_vcpu::<Destruction>(vcpu) };
    framed(|| crate::vcpu::destroy(&mut cx, own));
}
