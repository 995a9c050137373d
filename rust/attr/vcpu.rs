// SPDX-License-Identifier: GPL-2.0

//! Attributes of a vCPU: `KVM_XEN_VCPU_SET_ATTR` and `KVM_XEN_VCPU_GET_ATTR`.
//!
//! `vcpu->mutex`, which its ioctls hold, protects all of them: the VM's leaf mutex has no part
//! in this.
//!
//! Source: Documentation/virt/kvm/api.rst.

use super::FIRST_EXTERNAL_VECTOR;
use crate::{
    abi::{layout::Structure, runstate::State},
    bindings::{
        KVM_MAX_VCPUS, KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADDR,
        KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADJUST, KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_CURRENT,
        KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_DATA, KVM_XEN_VCPU_ATTR_TYPE_TIMER,
        KVM_XEN_VCPU_ATTR_TYPE_UPCALL_VECTOR, KVM_XEN_VCPU_ATTR_TYPE_VCPU_ID,
        KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO, KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO_HVA,
        KVM_XEN_VCPU_ATTR_TYPE_VCPU_TIME_INFO,
    },
    kernels::vcpu_info_may_be_at,
    kvm::{
        uapi::{VcpuAttr, INVALID_GPA, NO_STATE, PRIO_2LEVEL},
        OwnVcpu,
    },
    prelude::*,
    sync::{
        gpc::{Gpc, Place},
        Ctx, MayRefresh, VcpuIoctl,
    },
    vcpu::{runstate, timer},
};

/// Sets an attribute. May sleep.
///
/// # Errors
///
/// `ENOENT` for an attribute that is none; `ENXIO` for a `vcpu_info` at an address that is none
/// for it on this kernel; `EINVAL`, `EFAULT` as the attribute's own function says.
pub(crate) fn set(cx: &mut Ctx<'_, VcpuIoctl>, vcpu: OwnVcpu<'_>, attr: &VcpuAttr<'_>) -> Result {
    set_in_section(
        &mut vcpu.vm().srcu().read(cx).cx().may_refresh(),
        vcpu,
        attr,
    )
}

/// As [`set`].
fn set_in_section(cx: &mut Ctx<'_, MayRefresh>, vcpu: OwnVcpu<'_>, attr: &VcpuAttr<'_>) -> Result {
    match attr.kind() {
        KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO => {
            return place_vcpu_info(cx, vcpu, guest(attr.gpa()));
        }
        KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO_HVA => {
            let hva = attr.hva();
            return place_vcpu_info(cx, vcpu, (hva != 0).then_some(Place::Vmm(hva)));
        }
        KVM_XEN_VCPU_ATTR_TYPE_VCPU_TIME_INFO => {
            return place(cx, vcpu, vcpu.time_info(), guest(attr.gpa()))
        }
        KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADDR => {
            let gpa = Some(attr.gpa()).filter(|&gpa| gpa != INVALID_GPA);
            return runstate::place(cx, vcpu, gpa);
        }
        KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_CURRENT
        | KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_DATA
        | KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADJUST => return set_runstate(cx, vcpu, attr),
        KVM_XEN_VCPU_ATTR_TYPE_VCPU_ID => {
            if attr.vcpu_id() >= KVM_MAX_VCPUS {
                return Err(EINVAL);
            }
            vcpu.set_xen_id(attr.vcpu_id());
        }
        KVM_XEN_VCPU_ATTR_TYPE_TIMER => {
            let to = attr.timer();
            if to.port != 0 && to.priority != PRIO_2LEVEL {
                return Err(EINVAL);
            }
            timer::configure(cx, vcpu, to.port, to.expires);
        }
        KVM_XEN_VCPU_ATTR_TYPE_UPCALL_VECTOR => {
            if matches!(attr.vector(), 1..FIRST_EXTERNAL_VECTOR) {
                return Err(EINVAL);
            }
            vcpu.set_upcall_vector(attr.vector());
        }
        _ => return Err(ENOENT),
    }
    Ok(())
}

/// Sets the runstate, or a part of it, or adds to it.
fn set_runstate(cx: &mut Ctx<'_, MayRefresh>, vcpu: OwnVcpu<'_>, attr: &VcpuAttr<'_>) -> Result {
    let kind = attr.kind();
    let state = State::from_u64(attr.runstate_state());
    if kind == KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADJUST {
        if state.is_none() && attr.runstate_state() != NO_STATE {
            return Err(EINVAL);
        }
        return runstate::adjust(cx, vcpu, &attr.runstate(State::Running), state);
    }
    let state = state.ok_or(EINVAL)?;
    if kind == KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_DATA {
        return runstate::set(vcpu, &attr.runstate(state));
    }
    runstate::change(cx, vcpu, state);
    Ok(())
}

/// A place in guest memory, or none.
fn guest(gpa: u64) -> Option<Place> {
    (gpa != INVALID_GPA).then_some(Place::Guest(gpa))
}

/// Puts `vcpu_info` somewhere, if it may be there, or nowhere.
fn place_vcpu_info(cx: &mut Ctx<'_, MayRefresh>, vcpu: OwnVcpu<'_>, to: Option<Place>) -> Result {
    match to {
        Some(Place::Guest(at) | Place::Vmm(at)) if !vcpu_info_may_be_at(at) => Err(ENXIO),
        _ => place(cx, vcpu, vcpu.vcpu_info(), to),
    }
}

/// Puts one of the vCPU's structures that has its clock in it somewhere, or nowhere.
fn place<S: Structure>(
    cx: &mut Ctx<'_, MayRefresh>,
    vcpu: OwnVcpu<'_>,
    structure: Gpc<'_, S>,
    place: Option<Place>,
) -> Result {
    match place {
        None => structure.deactivate(cx),
        Some(place) => {
            structure.activate(cx, place)?;
            vcpu.request_clock_update();
        }
    }
    Ok(())
}

/// Reads an attribute back. May sleep.
///
/// # Errors
///
/// `ENOENT` for an attribute that is none, or a runstate that is nowhere; `EINVAL` for the shift
/// of the runstate, which can't be read.
pub(crate) fn get(
    cx: &mut Ctx<'_, VcpuIoctl>,
    vcpu: OwnVcpu<'_>,
    attr: &mut VcpuAttr<'_>,
) -> Result {
    match attr.kind() {
        KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO => attr.set_gpa(gpa_of(vcpu.vcpu_info())),
        KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO_HVA => attr.set_hva(match vcpu.vcpu_info().place() {
            Some(Place::Vmm(hva)) => hva,
            _ => 0,
        }),
        KVM_XEN_VCPU_ATTR_TYPE_VCPU_TIME_INFO => attr.set_gpa(gpa_of(vcpu.time_info())),
        KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADDR => match vcpu.runstate_info().place() {
            Some(Place::Guest(gpa)) => attr.set_gpa(gpa),
            _ => return Err(ENOENT),
        },
        KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_CURRENT => {
            attr.set_runstate_state(vcpu.runstate().state as u64);
        }
        KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_DATA => attr.set_runstate(&runstate::get(cx, vcpu)),
        KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADJUST => return Err(EINVAL),
        KVM_XEN_VCPU_ATTR_TYPE_VCPU_ID => attr.set_vcpu_id(vcpu.xen_id()),
        KVM_XEN_VCPU_ATTR_TYPE_TIMER => {
            let expires = timer::expires(cx, vcpu);
            attr.set_timer(vcpu.timer_virq(), PRIO_2LEVEL, expires);
        }
        KVM_XEN_VCPU_ATTR_TYPE_UPCALL_VECTOR => attr.set_vector(vcpu.upcall_vector()),
        _ => return Err(ENOENT),
    }
    Ok(())
}

/// The place in guest memory of a structure that is there.
fn gpa_of<S: Structure>(structure: Gpc<'_, S>) -> u64 {
    match structure.place() {
        Some(Place::Guest(gpa)) => gpa,
        _ => INVALID_GPA,
    }
}
