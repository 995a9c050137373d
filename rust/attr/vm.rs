// SPDX-License-Identifier: GPL-2.0

//! Attributes of a VM: `KVM_XEN_HVM_SET_ATTR` and `KVM_XEN_HVM_GET_ATTR`.
//!
//! Source: Documentation/virt/kvm/api.rst.

use super::{shared_info, FIRST_EXTERNAL_VECTOR};
use crate::{
    abi::WordSize,
    bindings::{
        KVM_XEN_ATTR_TYPE_EVTCHN, KVM_XEN_ATTR_TYPE_LONG_MODE,
        KVM_XEN_ATTR_TYPE_RUNSTATE_UPDATE_FLAG, KVM_XEN_ATTR_TYPE_SHARED_INFO,
        KVM_XEN_ATTR_TYPE_SHARED_INFO_HVA, KVM_XEN_ATTR_TYPE_UPCALL_VECTOR,
        KVM_XEN_ATTR_TYPE_XEN_VERSION,
    },
    evtchn::ports,
    kvm::{
        uapi::{HvmAttr, INVALID_GFN},
        Vm,
    },
    prelude::*,
    sync::{gpc::Place, Ctx, VmIoctl},
};
use core::num::NonZero;
use kernel::page::{PAGE_SHIFT, PAGE_SIZE};

/// Sets an attribute. May sleep.
///
/// # Errors
///
/// `ENOENT` for an attribute that is none; `EINVAL`, `EFAULT` and others as the attribute's own
/// function says.
pub(crate) fn set(cx: &mut Ctx<'_, VmIoctl>, vm: Vm<'_>, attr: &HvmAttr<'_>) -> Result {
    match attr.kind() {
        KVM_XEN_ATTR_TYPE_LONG_MODE => {
            set_word_size(cx, vm, WordSize::from_long_mode(attr.long_mode() != 0))
        }
        KVM_XEN_ATTR_TYPE_SHARED_INFO => {
            let place = match attr.shared_info_gfn() {
                INVALID_GFN => None,
                gfn => Some(Place::Guest(gfn << PAGE_SHIFT)),
            };
            shared_info::place(cx, vm, place)
        }
        KVM_XEN_ATTR_TYPE_SHARED_INFO_HVA => {
            let place = match attr.shared_info_hva() {
                0 => None,
                hva if hva % PAGE_SIZE as u64 != 0 => return Err(EINVAL),
                hva => Some(Place::Vmm(hva)),
            };
            shared_info::place(cx, vm, place)
        }
        KVM_XEN_ATTR_TYPE_UPCALL_VECTOR => match attr.vector() {
            1..FIRST_EXTERNAL_VECTOR => Err(EINVAL),
            vector => {
                vm.lock_xen(cx).set_upcall_vector(vector);
                Ok(())
            }
        },
        KVM_XEN_ATTR_TYPE_EVTCHN => ports::change(cx, vm, &attr.evtchn()),
        KVM_XEN_ATTR_TYPE_XEN_VERSION => {
            vm.lock_xen(cx).set_xen_version(attr.xen_version());
            Ok(())
        }
        KVM_XEN_ATTR_TYPE_RUNSTATE_UPDATE_FLAG => {
            let on = attr.runstate_update_flag() != 0;
            vm.lock_xen(cx).set_runstate_update_flag(on);
            Ok(())
        }
        _ => Err(ENOENT),
    }
}

/// Changes the word size, and with it the place of the wall clock.
fn set_word_size(cx: &mut Ctx<'_, VmIoctl>, vm: Vm<'_>, size: WordSize) -> Result {
    let mut section = vm.srcu().read(cx);
    let mut inside = section.cx();
    let mut xen = vm.lock_xen(&mut inside);
    xen.set_word_size(size);
    shared_info::write_wall_clock(&mut xen.cx().may_refresh(), vm)
}

/// Reads an attribute back. May sleep. Most are a word, for which the leaf mutex is not needed.
///
/// # Errors
///
/// `ENOENT` for an attribute that is none or can't be read.
pub(crate) fn get(cx: &mut Ctx<'_, VmIoctl>, vm: Vm<'_>, attr: &mut HvmAttr<'_>) -> Result {
    match attr.kind() {
        KVM_XEN_ATTR_TYPE_LONG_MODE => {
            attr.set_long_mode((vm.word_size() == WordSize::Bits64).into());
        }
        KVM_XEN_ATTR_TYPE_SHARED_INFO => attr.set_shared_info_gfn(gfn_now(cx, vm)),
        KVM_XEN_ATTR_TYPE_SHARED_INFO_HVA => attr.set_shared_info_hva(hva_now(cx, vm)),
        KVM_XEN_ATTR_TYPE_UPCALL_VECTOR => attr.set_vector(vm.upcall_vector()),
        KVM_XEN_ATTR_TYPE_XEN_VERSION => {
            attr.set_xen_version(vm.xen_version().map_or(0, NonZero::get));
        }
        KVM_XEN_ATTR_TYPE_RUNSTATE_UPDATE_FLAG => {
            attr.set_runstate_update_flag(vm.has_runstate_update_flag().into());
        }
        _ => return Err(ENOENT),
    }
    Ok(())
}

/// The frame that `shared_info` is in, or `INVALID_GFN`. Out of line, as is [`hva_now`], so that
/// other attributes save no registers for the leaf mutex.
#[inline(never)]
fn gfn_now(cx: &mut Ctx<'_, VmIoctl>, vm: Vm<'_>) -> u64 {
    match place_now(cx, vm) {
        Some(Place::Guest(gpa)) => gpa >> PAGE_SHIFT,
        _ => INVALID_GFN,
    }
}

/// The VMM's address that `shared_info` was put at, or 0.
#[inline(never)]
fn hva_now(cx: &mut Ctx<'_, VmIoctl>, vm: Vm<'_>) -> u64 {
    match place_now(cx, vm) {
        Some(Place::Vmm(hva)) => hva,
        _ => 0,
    }
}

/// Where `shared_info` is, while nobody puts it elsewhere.
fn place_now(cx: &mut Ctx<'_, VmIoctl>, vm: Vm<'_>) -> Option<Place> {
    let _xen = vm.lock_xen(cx);
    vm.shared_info().place()
}
