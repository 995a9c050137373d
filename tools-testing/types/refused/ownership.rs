// SPDX-License-Identifier: GPL-2.0

//! What ends with a guard, a section or a context, and what is another task's.

use crate::{
    kvm::{
        lifecycle,
        sender::{Destination, NewDestination, Owned},
        timers::TimerState,
        OwnVcpu, Target, Vcpu, Vm,
    },
    sync::{gpc::Parts, retired::Retired, srcu::Callback, *},
};

/// The context inside a lock ends with its guard.
fn context_outlives_guard(mut cx: Ctx<'_, VmIoctl>, vm: Vm<'_>) {
    let mut section = vm.srcu().read(&mut cx);
    let mut inside = section.cx();
    drop(section); //~ cannot move out of `section` because it is borrowed
    vm.shared_info().try_read(&mut inside);
}

/// While a level is held, the context outside of it says what is not so.
fn outer_context_used_inside(mut cx: Ctx<'_, VmIoctl>, vm: Vm<'_>) {
    let mut section = vm.srcu().read(&mut cx);
    vm.srcu().wait_for_readers(&mut cx); //~ cannot borrow `cx` as mutable more than once
    vm.shared_info().try_read(&mut section.cx());
}

/// A guard can not outlive the context that it was taken in.
fn guard_escapes_context<'a>(mut cx: Ctx<'_, VmIoctl>, vm: Vm<'a>) {
    let mut escaped = None;
    {
        let mut inside = cx.reborrow();
        escaped = Some(vm.lock_xen(&mut inside)); //~ does not live long enough
    }
    drop(escaped);
}

/// A context is that of one task.
fn context_sent_to_another_task(cx: Ctx<'_, InKvmRun>, vcpu: OwnVcpu<'_>) {
    fn send<T: Send>(_: T) {}
    send(cx); //~ cannot be sent between threads safely
    send(vcpu); //~ cannot be sent between threads safely
}

/// A page is not mapped any more while the cache is refreshed, nor is memory waited for.
fn mapping_kept_over_refresh(mut cx: Ctx<'_, InKvmRun>, vm: Vm<'_>) {
    let page = vm.shared_info().try_read(&mut cx);
    let _ = vm.shared_info().refresh(&mut cx); //~ cannot borrow `cx` as mutable more than once
    let _ = Callback::<u32>::new(&mut cx, 1); //~ cannot borrow `cx` as mutable more than once
    drop(page);
}

/// The same of a runstate, in one page or in two.
fn runstate_kept_over_allocation(mut cx: Ctx<'_, InKvmRun>, vcpu: OwnVcpu<'_>) {
    let bytes = vcpu.runstate_info().try_read_bytes(&mut cx, 8);
    let _ = Callback::<u32>::new(&mut cx, 1); //~ cannot borrow `cx` as mutable more than once
    drop(bytes);
}

/// Of two pages that of the first is released last: its release has interrupts on again.
fn first_page_released_first(parts: Parts<'_>) {
    drop(parts.first); //~ field `first` of struct `Parts` is private
}

/// What was looked up in a read section is gone when the section was left for a while.
fn sender_kept_over_halt(mut cx: Ctx<'_, InKvmRun>, vcpu: OwnVcpu<'_>) {
    let found = vcpu.vm().gate(&mut cx).find(5);
    vcpu.halt(&mut cx); //~ cannot borrow `cx` as mutable more than once
    drop(found);
}

/// An eventfd that was looked up ends with the read section.
fn eventfd_escapes_section(mut cx: Ctx<'_, VmIoctl>, vm: Vm<'_>) {
    let found = {
        let mut section = vm.srcu().read(&mut cx);
        let mut inside = section.cx(); //~ does not live long enough
        let found = vm.gate(&mut inside).find(5); //~ does not live long enough
        found
    };
    drop(found);
}

/// It is signalled when the gate has been left: behind it there may be much, other gates included.
fn eventfd_signalled_inside_of_the_gate(mut cx: Ctx<'_, InKvmRun>, vm: Vm<'_>) {
    let gate = vm.gate(&mut cx);
    if let Some(Destination::EventFd(eventfd)) = gate.find(5) {
        eventfd.signal(); //~ method `signal` is private
    }
}

/// The vCPU that an event is for is not the sender's own, whatever the sender holds: neither its
/// accounts nor its registers are to be touched.
fn state_of_another_vcpu(mut cx: Ctx<'_, MayDeliver>, vm: Vm<'_>, target: Target) {
    let Some(vcpu) = vm.target(target) else {
        return;
    };
    vcpu.runstate(); //~ no method named `runstate`
    vcpu.set_timer_virq(5); //~ no method named `set_timer_virq`
    vcpu.set_upcall_vector(5); //~ no method named `set_upcall_vector`
    vcpu.set_expires(0); //~ no method named `set_expires`
    vcpu.set_pending(true); //~ no method named `set_pending`
    vcpu.timer_state(); //~ no method named `timer_state`
    vcpu.set_polled(None); //~ no method named `set_polled`
    vcpu.clear_pending_sel(1); //~ no method named `clear_pending_sel`
    vcpu.start_timer(&mut cx, 1); //~ no method named `start_timer`
    vcpu.is_long_mode(); //~ no method named `is_long_mode`
}

/// Nobody makes another's vCPU one's own.
fn another_vcpu_made_ones_own<'a>(vcpu: Vcpu<'a>) -> OwnVcpu<'a> {
    OwnVcpu::assert(vcpu) //~ is unsafe and requires unsafe
}

/// Nor does anybody pass for the callback of another's timer.
fn timer_of_another_vcpu<'a>(vcpu: Vcpu<'a>) -> TimerState<'a> {
    TimerState::in_callback(vcpu) //~ is unsafe and requires unsafe
}

/// What readers may still look at is freed after a grace period alone.
fn grace_period_undone(retired: Retired<'_, Owned>) -> Owned {
    retired.into_inner() //~ no method named `into_inner`
}

/// The same, by way of its parts.
fn grace_period_undone_by_parts(mut retired: Retired<'_, Owned>) {
    core::mem::forget(retired.value); //~ field `value` of struct `Retired` is private
}

/// Nor is a sender freed under readers by who has not taken it from them.
fn callback_without_retirement(vm: Vm<'_>, callback: Callback<Owned>, sender: Owned) {
    vm.srcu().call(callback, sender); //~ method `call` is private
}

/// A callback runs where nothing may sleep, so what it drops does not.
fn anything_dropped_in_a_callback<T: Send + 'static>(retired: Retired<'_, T>, to: Callback<T>) {
    retired.free_later(to); //~ `T: DropAnywhere` is not satisfied
}

/// Who holds nothing, as the work of an irqfd, is not who has the VM alone.
fn vm_destroyed_by_an_irqfd(mut cx: Ctx<'_, SetIrq>, vm: Vm<'_>) {
    lifecycle::destroy_vm(&mut cx, vm); //~ is unsafe and requires unsafe
}

/// A sender that leads to port 0 would be taken for one that leads to an eventfd.
fn sender_to_port_0(target: Target) -> NewDestination {
    NewDestination::Port {
        port: 0, //~ mismatched types
        target,
        priority: 0,
    }
}
