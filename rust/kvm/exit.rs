// SPDX-License-Identifier: GPL-2.0

//! How a hypercall ends: with a result for the guest, or in the VMM.

use super::{
    hypercall::{Call, Next},
    OwnVcpu,
};
use crate::{
    abi::WordSize,
    bindings,
    livepatch::symbols,
    sync::{Ctx, InKvmRun},
};
use kernel::ffi::c_ulong;

/// Gives the guest a result, and goes on behind the instruction.
pub(crate) fn complete(_cx: &mut Ctx<'_, InKvmRun>, vcpu: OwnVcpu<'_>, result: u64) -> Next {
    vcpu.set_result(result);
    // SAFETY: The vCPU is there, and this is its task inside `KVM_RUN`.
    Next(unsafe { symbols::kvm_skip_emulated_instruction(vcpu.as_raw()) })
}

/// Leaves a hypercall to the VMM, which puts the result where [`complete_from_vmm`] finds it.
pub(crate) fn to_vmm(_cx: &mut Ctx<'_, InKvmRun>, vcpu: OwnVcpu<'_>, call: &Call) -> Next {
    // SAFETY: The vCPU is there, and this is its task inside `KVM_RUN`, to which `run` and
    // `complete_userspace_io` belong. The VMM may write to `run` at any time; it is not read here.
    unsafe {
        let raw = vcpu.as_raw();
        let rip = symbols::kvm_get_linear_rip(raw);
        vcpu.set_hypercall_rip(rip as u64);

        let run = (*raw).run;
        (&raw mut (*run).exit_reason).write_volatile(bindings::KVM_EXIT_XEN);
        let xen = &raw mut (*run).__bindgen_anon_1.xen;
        (&raw mut (*xen).type_).write_volatile(bindings::KVM_EXIT_XEN_HCALL);
        let hcall = &raw mut (*xen).u.hcall;
        (&raw mut (*hcall).longmode).write_volatile((call.size == WordSize::Bits64).into());
        (&raw mut (*hcall).cpl).write_volatile(call.cpl.into());
        (&raw mut (*hcall).input).write_volatile(call.nr);
        (&raw mut (*hcall).params).write_volatile(call.params);

        // KVM's own, not ours: the VMM may take longer than this module is there.
        (*raw).arch.complete_userspace_io = Some(symbols::kvm_xen_hypercall_complete_userspace);
    }
    Next::VMM
}

/// Gives the guest the result that the VMM has found, unless the guest is not where it made the
/// hypercall any more, as after a reset.
pub(crate) fn complete_from_vmm(cx: &mut Ctx<'_, InKvmRun>, vcpu: OwnVcpu<'_>) -> Next {
    // SAFETY: The vCPU is there, and this is its task inside `KVM_RUN`.
    if !unsafe { symbols::kvm_is_linear_rip(vcpu.as_raw(), vcpu.hypercall_rip() as c_ulong) } {
        return Next::GUEST;
    }
    // SAFETY: As in `to_vmm`. The VMM may write to it at any time; it is read once.
    let result = unsafe {
        let run = (*vcpu.as_raw()).run;
        (&raw const (*run).__bindgen_anon_1.xen.u.hcall.result).read_volatile()
    };
    complete(cx, vcpu, result)
}
