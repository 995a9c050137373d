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
    kvm::{
        sched_info,
        uapi::{VcpuAttr, INVALID_GPA, NO_STATE, PRIO_2LEVEL},
        Vcpu,
    },
    sync::{
        gpc::{Gpc, Place},
        Ctx, VcpuIoctl,
    },
    vcpu::{runstate, timer},
};
use kernel::prelude::*;

/// Sets an attribute. May sleep.
///
/// # Errors
///
/// `ENOENT` for an attribute that is none; `EOPNOTSUPP` for the runstate on a kernel without
/// scheduler statistics; `EINVAL`, `EFAULT` as the attribute's own function says.
pub(crate) fn set(cx: &mut Ctx<'_, VcpuIoctl>, vcpu: Vcpu<'_>, attr: &VcpuAttr<'_>) -> Result {
    match attr.kind() {
        KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO => place(cx, vcpu, vcpu.vcpu_info(), guest(attr.gpa())),
        KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO_HVA => {
            let hva = attr.hva();
            place(
                cx,
                vcpu,
                vcpu.vcpu_info(),
                (hva != 0).then_some(Place::Vmm(hva)),
            )
        }
        KVM_XEN_VCPU_ATTR_TYPE_VCPU_TIME_INFO => {
            place(cx, vcpu, vcpu.time_info(), guest(attr.gpa()))
        }
        KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADDR => {
            sched_info::required()?;
            let gpa = Some(attr.gpa()).filter(|&gpa| gpa != INVALID_GPA);
            runstate::place(&mut vcpu.vm().srcu().read(cx).cx().may_refresh(), vcpu, gpa)
        }
        KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_CURRENT => {
            sched_info::required()?;
            let state = State::from_u64(attr.runstate_state()).ok_or(EINVAL)?;
            runstate::change_by_vmm(
                &mut vcpu.vm().srcu().read(cx).cx().may_refresh(),
                vcpu,
                state,
            );
            Ok(())
        }
        KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_DATA => {
            sched_info::required()?;
            let state = State::from_u64(attr.runstate_state()).ok_or(EINVAL)?;
            runstate::set(vcpu, &attr.runstate(state))
        }
        KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADJUST => {
            sched_info::required()?;
            let state = match attr.runstate_state() {
                NO_STATE => None,
                state => Some(State::from_u64(state).ok_or(EINVAL)?),
            };
            // The state of the shift itself means nothing.
            let by = attr.runstate(State::Running);
            runstate::adjust(
                &mut vcpu.vm().srcu().read(cx).cx().may_refresh(),
                vcpu,
                &by,
                state,
            )
        }
        KVM_XEN_VCPU_ATTR_TYPE_VCPU_ID => {
            if attr.vcpu_id() >= KVM_MAX_VCPUS {
                return Err(EINVAL);
            }
            vcpu.set_xen_id(attr.vcpu_id());
            Ok(())
        }
        KVM_XEN_VCPU_ATTR_TYPE_TIMER => {
            let to = attr.timer();
            if to.port != 0 && to.priority != PRIO_2LEVEL {
                return Err(EINVAL);
            }
            timer::configure(
                &mut vcpu.vm().srcu().read(cx).cx().may_refresh(),
                vcpu,
                to.port,
                to.expires,
            );
            Ok(())
        }
        KVM_XEN_VCPU_ATTR_TYPE_UPCALL_VECTOR => {
            if matches!(attr.vector(), 1..FIRST_EXTERNAL_VECTOR) {
                return Err(EINVAL);
            }
            vcpu.set_upcall_vector(attr.vector());
            Ok(())
        }
        _ => Err(ENOENT),
    }
}

/// A place in guest memory, or none.
fn guest(gpa: u64) -> Option<Place> {
    (gpa != INVALID_GPA).then_some(Place::Guest(gpa))
}

/// Puts one of the vCPU's structures that has its clock in it somewhere, or nowhere.
fn place<S: Structure>(
    cx: &mut Ctx<'_, VcpuIoctl>,
    vcpu: Vcpu<'_>,
    structure: Gpc<'_, S>,
    place: Option<Place>,
) -> Result {
    let mut section = vcpu.vm().srcu().read(cx);
    match place {
        None => structure.deactivate(&mut section.cx()),
        Some(place) => {
            structure.activate(&mut section.cx(), place)?;
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
/// of the runstate, which can't be read; `EOPNOTSUPP` for the runstate on a kernel without
/// scheduler statistics.
pub(crate) fn get(cx: &mut Ctx<'_, VcpuIoctl>, vcpu: Vcpu<'_>, attr: &mut VcpuAttr<'_>) -> Result {
    match attr.kind() {
        KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO => attr.set_gpa(gpa_of(vcpu.vcpu_info())),
        KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO_HVA => attr.set_hva(match vcpu.vcpu_info().place() {
            Some(Place::Vmm(hva)) => hva,
            _ => 0,
        }),
        KVM_XEN_VCPU_ATTR_TYPE_VCPU_TIME_INFO => attr.set_gpa(gpa_of(vcpu.time_info())),
        KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADDR => {
            sched_info::required()?;
            match vcpu.runstate_info().place() {
                Some(Place::Guest(gpa)) => attr.set_gpa(gpa),
                _ => return Err(ENOENT),
            }
        }
        KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_CURRENT => {
            sched_info::required()?;
            attr.set_runstate_state(vcpu.runstate().state as u64);
        }
        KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_DATA => {
            sched_info::required()?;
            attr.set_runstate(&vcpu.runstate());
        }
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
