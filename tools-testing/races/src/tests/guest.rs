// SPDX-License-Identifier: GPL-2.0

//! What a guest and a VMM do.

use crate::{
    abi::{
        shared_info,
        vcpu_info::{self, EVTCHN_UPCALL_PENDING},
    },
    bindings,
    evtchn::{deliver::deliver, port::Port, ports, send},
    kvm::{
        routing::Route,
        sender::Destination,
        task::Asked,
        uapi::{EvtchnAttr, PRIO_2LEVEL},
        Target, Vcpu, Vm,
    },
    model::{fully_ordered, memory::word_of, vcpu::id_of},
    prelude::*,
    sync::{Anywhere, Ctx, VmIoctl},
    vcpu::{info, timer},
};
use loom::sync::atomic::Ordering::Relaxed;

/// An ioctl of the VM.
pub(super) fn ioctl<R>(f: impl FnOnce(&mut Ctx<'_, VmIoctl>) -> R) -> R {
    // SAFETY: A thread of the test that is inside of nothing.
    f(&mut unsafe { Ctx::assert() })
}

/// `KVM_XEN_HVM_EVTCHN_SEND`.
pub(super) fn vmm_sends(vm: Vm<'_>, port: u32, vcpu: u32) {
    let to = Route {
        port,
        target: Target::by_id(id_of(vcpu)),
        priority: PRIO_2LEVEL,
    };
    assert_eq!(ioctl(|cx| send::from_vmm(cx, vm, to)), Ok(()));
}

/// `KVM_XEN_ATTR_TYPE_EVTCHN`: a port that leads to itself on a vCPU.
pub(super) fn change(vm: Vm<'_>, flags: u32, port: u32, vcpu: u32) -> Result {
    ioctl(|cx| ports::change(cx, vm, &ipi(flags, port, vcpu)))
}

/// What that takes.
pub(super) fn ipi(flags: u32, port: u32, vcpu: u32) -> EvtchnAttr {
    EvtchnAttr {
        send_port: port,
        kind: bindings::EVTCHNSTAT_ipi,
        flags,
        port,
        vcpu: id_of(vcpu),
        priority: PRIO_2LEVEL,
        fd: -1,
    }
}

/// `EVTCHNOP_send`.
pub(super) fn guest_sends(vcpu: Vcpu<'_>, port: u32) -> Option<Result> {
    vcpu.run(|cx| send::from_guest(&mut cx.may_refresh(), vcpu.vm(), port))
}

/// As C does it: what the port leads to is not looked up with `shared_info` locked.
pub(super) fn guest_sends_by_c(vcpu: Vcpu<'_>, port: u32) -> Option<Result> {
    let vm = vcpu.vm();
    vcpu.run(|cx| match vm.state().table.leads(port)? {
        Destination::Port(to, _) => {
            let port = Port::new(to.port, vm.word_size())?;
            let vcpu = vm.target(to.target)?;
            let delivery = deliver(&mut cx.may_refresh(), vm, port, to.target, Some(vcpu));
            Some(delivery.result())
        }
        Destination::EventFd(eventfd) => {
            eventfd.signal();
            Some(Ok(()))
        }
    })
}

/// Whether a port is pending.
pub(super) fn pending(vm: Vm<'_>, port: u32) -> bool {
    let (at, bit) = word_of(&shared_info::evtchn_pending(vm.word_size()), port);
    vm.state().shared_info.word(at).load(Relaxed) & bit != 0
}

/// Masks a port.
pub(super) fn mask(vm: Vm<'_>, port: u32) {
    let (at, bit) = word_of(&shared_info::evtchn_mask(vm.word_size()), port);
    vm.state().shared_info.word(at).fetch_or(bit, Relaxed);
}

/// Clears a port; returns whether it was pending.
pub(super) fn clear(vm: Vm<'_>, port: u32) -> bool {
    let (at, bit) = word_of(&shared_info::evtchn_pending(vm.word_size()), port);
    let word = vm.state().shared_info.word(at);
    fully_ordered(|| word.fetch_and(!bit, Relaxed)) & bit != 0
}

/// Takes what a vCPU is told by its `vcpu_info`; returns the words.
pub(super) fn take_selectors(vcpu: Vcpu<'_>) -> u32 {
    let info = &vcpu.state().info;
    let sel = vcpu_info::evtchn_pending_sel(vcpu.vm().word_size());
    info.word(EVTCHN_UPCALL_PENDING.offset()).store(0, Relaxed);
    let sel = info.word(sel.locate(0).0);
    fully_ordered(|| sel.swap(0, Relaxed))
}

/// The upcall: sees what of `ports` is pending.
fn upcall(vcpu: Vcpu<'_>, ports: &[u32], seen: &mut Vec<u32>) {
    let selectors = take_selectors(vcpu);
    for &port in ports {
        if selectors & (1 << vcpu.vm().word_size().word_of(port)) != 0 && clear(vcpu.vm(), port) {
            seen.push(port);
        }
    }
}

/// Runs a guest that halts between upcalls, until it has seen each of `ports`, in the order of
/// `vcpu_run()`.
pub(super) fn run_until_seen(vcpu: Vcpu<'_>, ports: &[u32]) {
    let mut seen = Vec::new();
    vcpu.run(|cx| loop {
        vcpu.take_request();
        info::inject_pending_events(cx, vcpu.own());
        timer::inject_pending(&mut cx.may_refresh(), vcpu.own());
        // SAFETY: A question from any context.
        let mut anywhere = unsafe { Ctx::<Anywhere>::assert() };
        if info::has_interrupt(&mut anywhere, Asked(vcpu)) {
            upcall(vcpu, ports, &mut seen);
        }
        if ports.iter().all(|port| seen.contains(port)) {
            return;
        }
        vcpu.halt(cx);
    });
}
