// SPDX-License-Identifier: GPL-2.0

//! What may be assigned, updated and deassigned, and what a port then leads to.

use super::{
    explore,
    guest::{change, clear, guest_sends, ioctl, ipi, pending, take_selectors},
};
use crate::{
    bindings::{
        EVTCHNSTAT_interdomain, EVTCHNSTAT_ipi, KVM_XEN_EVTCHN_DEASSIGN, KVM_XEN_EVTCHN_RESET,
        KVM_XEN_EVTCHN_UPDATE,
    },
    evtchn::ports,
    kvm::{uapi::EvtchnAttr, Vcpu, Vm},
    model::vm::Config,
    prelude::*,
};

const ASSIGN: u32 = 0;
/// Has a slot in the model.
const PORT: u32 = 1;
/// Where it leads to, as an interdomain channel.
const REMOTE: u32 = 70;
/// No kind that anything can be sent through.
const UNBOUND: u32 = 1;
const TOO_HIGH: u32 = 4096;

/// A test without other threads.
fn alone(test: impl Fn(Vm<'_>) + Sync + Send + 'static) {
    let config = Config {
        vcpus: 2,
        ports: &[PORT, REMOTE],
        gate: true,
        grace_periods: true,
        ..Config::default()
    };
    explore(0, config, move |state| test(Vm::of(&state)));
}

fn apply(vm: Vm<'_>, attr: &EvtchnAttr) -> Result {
    ioctl(|cx| ports::change(cx, vm, attr))
}

/// A port that leads to another.
fn interdomain(flags: u32, port: u32, vcpu: u32) -> EvtchnAttr {
    EvtchnAttr {
        kind: EVTCHNSTAT_interdomain,
        port,
        ..ipi(flags, PORT, vcpu)
    }
}

/// The vCPU on which an event sent through [`PORT`] ends up, at `port`.
fn sent_to(vm: Vm<'_>, port: u32) -> u32 {
    let [first, second] = [0, 1].map(|index| vm.vcpu(index).expect("is there"));
    assert_eq!(guest_sends(first, PORT), Some(Ok(())));
    assert!(clear(vm, port), "the event is at another port");
    let told = |vcpu: Vcpu<'_>| take_selectors(vcpu) == 1 << vm.word_size().word_of(port);
    match (told(first), told(second)) {
        (true, false) => 0,
        (false, true) => 1,
        told => panic!("told are {told:?}"),
    }
}

#[test]
fn only_ports_of_the_guest_have_senders() {
    alone(|vm| {
        for flags in [ASSIGN, KVM_XEN_EVTCHN_UPDATE, KVM_XEN_EVTCHN_DEASSIGN] {
            for port in [0, TOO_HIGH, u32::MAX] {
                assert_eq!(change(vm, flags, port, 0), Err(EINVAL));
            }
        }
        // Which means all of them.
        assert_eq!(change(vm, KVM_XEN_EVTCHN_RESET, TOO_HIGH, 0), Ok(()));
    });
}

#[test]
fn flags_are_one_or_none() {
    alone(|vm| {
        let both = KVM_XEN_EVTCHN_DEASSIGN | KVM_XEN_EVTCHN_UPDATE;
        for flags in [both, both | KVM_XEN_EVTCHN_RESET, 8, u32::MAX] {
            assert_eq!(change(vm, flags, PORT, 0), Err(EINVAL));
        }
    });
}

#[test]
fn what_does_not_fit_its_kind_is_refused() {
    alone(|vm| {
        let of_kind = |kind| EvtchnAttr {
            kind,
            ..ipi(ASSIGN, PORT, 0)
        };
        let elsewhere = EvtchnAttr {
            port: REMOTE,
            ..ipi(ASSIGN, PORT, 0)
        };
        for attr in [of_kind(UNBOUND), of_kind(u32::MAX), elsewhere] {
            assert_eq!(apply(vm, &attr), Err(EINVAL));
        }
        for port in [TOO_HIGH, u32::MAX] {
            assert_eq!(apply(vm, &interdomain(ASSIGN, port, 0)), Err(EINVAL));
        }
        for good in [ipi(ASSIGN, PORT, 0), interdomain(ASSIGN, REMOTE, 0)] {
            assert_eq!(
                apply(
                    vm,
                    &EvtchnAttr {
                        priority: 0,
                        ..good
                    }
                ),
                Err(EINVAL),
                "a priority"
            );
        }
        assert_eq!(guest_sends(vm.vcpu(0).expect("is there"), PORT), None);
    });
}

#[test]
fn a_port_leads_to_where_it_was_assigned_and_updated_to() {
    alone(|vm| {
        assert_eq!(change(vm, ASSIGN, PORT, 1), Ok(()));
        assert_eq!(sent_to(vm, PORT), 1);
        assert_eq!(change(vm, KVM_XEN_EVTCHN_UPDATE, PORT, 0), Ok(()));
        assert_eq!(sent_to(vm, PORT), 0);
        assert_eq!(change(vm, ASSIGN, PORT, 1), Err(EEXIST));
        assert_eq!(sent_to(vm, PORT), 0);
        assert_eq!(change(vm, KVM_XEN_EVTCHN_DEASSIGN, PORT, 0), Ok(()));

        assert_eq!(apply(vm, &interdomain(ASSIGN, REMOTE, 0)), Ok(()));
        assert_eq!(sent_to(vm, REMOTE), 0);
        let update = interdomain(KVM_XEN_EVTCHN_UPDATE, REMOTE, 1);
        assert_eq!(apply(vm, &update), Ok(()));
        assert_eq!(sent_to(vm, REMOTE), 1);
        assert!(!pending(vm, PORT));
    });
}

#[test]
fn an_update_changes_the_vcpu_and_nothing_else() {
    alone(|vm| {
        let update = interdomain(KVM_XEN_EVTCHN_UPDATE, REMOTE, 1);
        assert_eq!(apply(vm, &update), Err(ENOENT));
        assert_eq!(apply(vm, &interdomain(ASSIGN, REMOTE, 0)), Ok(()));
        for wrong in [
            ipi(KVM_XEN_EVTCHN_UPDATE, PORT, 1),
            EvtchnAttr {
                kind: EVTCHNSTAT_ipi,
                ..update
            },
            interdomain(KVM_XEN_EVTCHN_UPDATE, PORT, 1),
            interdomain(KVM_XEN_EVTCHN_UPDATE, 0, 1),
            EvtchnAttr {
                priority: 0,
                ..update
            },
        ] {
            assert_eq!(apply(vm, &wrong), Err(EINVAL));
        }
        assert_eq!(sent_to(vm, REMOTE), 0);
    });
}

#[test]
fn a_port_without_a_vcpu_yet_is_no_mistake() {
    alone(|vm| {
        assert_eq!(change(vm, ASSIGN, PORT, 2), Ok(()));
        let vcpu = vm.vcpu(0).expect("is there");
        assert_eq!(guest_sends(vcpu, PORT), Some(Err(EINVAL)));
        assert!(!pending(vm, PORT));
    });
}

#[test]
fn what_is_deassigned_is_there_no_more() {
    alone(|vm| {
        assert_eq!(change(vm, KVM_XEN_EVTCHN_DEASSIGN, PORT, 0), Err(ENOENT));
        for flags in [KVM_XEN_EVTCHN_DEASSIGN, KVM_XEN_EVTCHN_RESET] {
            assert_eq!(change(vm, ASSIGN, PORT, 0), Ok(()));
            assert_eq!(change(vm, flags, PORT, 0), Ok(()));
            assert_eq!(guest_sends(vm.vcpu(0).expect("is there"), PORT), None);
        }
        assert!(!pending(vm, PORT));
    });
}

#[test]
fn a_port_that_leads_to_an_eventfd_signals_it_alone() {
    alone(|vm| {
        let eventfd = interdomain(ASSIGN, 0, 0);
        assert_eq!(apply(vm, &eventfd), Ok(()));
        let vcpu = vm.vcpu(0).expect("is there");
        assert_eq!(guest_sends(vcpu, PORT), Some(Ok(())));
        assert_eq!(vm.state().table.signals(), 1);
        assert!(!pending(vm, PORT) && take_selectors(vcpu) == 0);

        // It has no vCPU to update.
        let update = EvtchnAttr {
            flags: KVM_XEN_EVTCHN_UPDATE,
            ..eventfd
        };
        assert_eq!(apply(vm, &update), Err(EINVAL));
    });
}
