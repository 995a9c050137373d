// SPDX-License-Identifier: GPL-2.0

//! The hypercall page, which the guest has written by writing its address to an MSR.

use crate::{
    abi::WordSize,
    attr::shared_info,
    bindings::KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL,
    kvm::{hypercall::Blob, OwnVcpu},
    prelude::*,
    sync::{Ctx, InKvmRun},
};
use kernel::page::PAGE_SIZE;

/// Why a page was not written.
pub(crate) enum Refused {
    /// For a reason of the guest's, which takes a general protection fault.
    Fault,
    /// For one of the host's, which ends `KVM_RUN`.
    Failed(Error),
}

/// The bytes of the page for one hypercall.
const SLOT: usize = 32;

/// How many hypercalls' bytes are written at once: what a kernel stack has room for.
const AT_ONCE: u32 = 16;

/// Writes the page: `value` is its guest-physical address, with the number of the page in the bits
/// below. May sleep.
///
/// From here on the guest has the word size of the mode that the vCPU is in.
///
/// # Errors
///
/// See [`Refused`].
pub(crate) fn write(
    cx: &mut Ctx<'_, InKvmRun>,
    vcpu: OwnVcpu<'_>,
    value: u64,
) -> Result<(), Refused> {
    let size = WordSize::from_long_mode(vcpu.is_long_mode());
    set_word_size(cx, vcpu, size).map_err(|_| Refused::Fault)?;

    let index = (value % PAGE_SIZE as u64) as u32;
    let gpa = value - value % PAGE_SIZE as u64;
    if vcpu.vm().config_flags() & KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL != 0 {
        write_own(cx, vcpu, index, gpa).map_err(|_| Refused::Fault)
    } else {
        write_blob(cx, vcpu, vcpu.vm().blob(size), index, gpa)
    }
}

/// Changes the word size if it is another, and with it the place of the wall clock.
fn set_word_size(cx: &mut Ctx<'_, InKvmRun>, vcpu: OwnVcpu<'_>, size: WordSize) -> Result {
    let vm = vcpu.vm();
    let mut xen = vm.lock_xen(cx);
    if vm.word_size() == size {
        return Ok(());
    }
    xen.set_word_size(size);
    shared_info::write_wall_clock(&mut xen.cx().may_refresh(), vm)
}

/// Writes the page of a guest whose hypercalls KVM intercepts: for each number, an instruction
/// that loads it and the one that traps.
fn write_own(cx: &mut Ctx<'_, InKvmRun>, vcpu: OwnVcpu<'_>, index: u32, gpa: u64) -> Result {
    if index != 0 {
        return Err(EINVAL);
    }
    let [t0, t1, t2] = vcpu.trap_instruction();
    let mut slots = [[0xcc; SLOT]; AT_ONCE as usize]; // int3
    for first in (0..(PAGE_SIZE / SLOT) as u32).step_by(AT_ONCE as usize) {
        for (slot, nr) in slots.iter_mut().zip(first..) {
            let [n0, n1, n2, n3] = nr.to_le_bytes();
            let code = [
                0xb8, n0, n1, n2, n3, // mov $nr, %eax
                t0, t1, t2,   // vmcall or vmmcall
                0xc3, // ret
            ];
            for (to, from) in slot.iter_mut().zip(code) {
                *to = from;
            }
        }
        let offset = u64::from(first) * SLOT as u64;
        vcpu.write_guest(cx, gpa.wrapping_add(offset), slots.as_flattened())?;
    }
    Ok(())
}

/// Writes a page of the VMM's making.
fn write_blob(
    cx: &mut Ctx<'_, InKvmRun>,
    vcpu: OwnVcpu<'_>,
    blob: Blob,
    index: u32,
    gpa: u64,
) -> Result<(), Refused> {
    if index >= u32::from(blob.pages) {
        return Err(Refused::Fault);
    }
    let page = blob.read_page(cx, index).map_err(Refused::Failed)?;
    vcpu.write_guest(cx, gpa, &page).map_err(|_| Refused::Fault)
}
