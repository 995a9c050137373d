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
    object::{field, Object},
    sync::{Ctx, InKvmRun},
};
use kernel::ffi::{c_int, c_ulong};

/// Gives the guest a result, and goes on behind the instruction.
pub(crate) fn complete(_cx: &mut Ctx<'_, InKvmRun>, vcpu: OwnVcpu<'_>, result: u64) -> Next {
    vcpu.set_result(result);
    // SAFETY: The vCPU is the task's own, inside `KVM_RUN`, where KVM itself calls it.
    Next(unsafe { symbols::kvm_skip_emulated_instruction(vcpu.as_raw()) })
}

/// Leaves a hypercall to the VMM, which puts the result where [`complete_from_vmm`] finds it.
pub(crate) fn to_vmm(_cx: &mut Ctx<'_, InKvmRun>, vcpu: OwnVcpu<'_>, call: &Call) -> Next {
    // SAFETY: The vCPU is the task's own, and so are its registers.
    let rip = unsafe { symbols::kvm_get_linear_rip(vcpu.as_raw()) };
    vcpu.set_hypercall_rip(rip as u64);

    let run = run(vcpu);
    let xen = field!(run, __bindgen_anon_1.xen);
    let hcall = field!(xen, u.hcall);
    macro_rules! set {
        ($field:expr, $value:expr) => {
            let field = $field;
            // SAFETY: In the kernel this belongs to the vCPU's own task. The VMM, which may look at it
            // and write to it at any time, is to take it for what it is.
            unsafe { field.as_ptr().write_volatile($value) };
        };
    }
    set!(field!(run, exit_reason), bindings::KVM_EXIT_XEN);
    set!(field!(xen, type_), bindings::KVM_EXIT_XEN_HCALL);
    let longmode = call.size == WordSize::Bits64;
    set!(field!(hcall, longmode), longmode.into());
    set!(field!(hcall, cpl), call.cpl.into());
    set!(field!(hcall, input), call.nr);
    set!(field!(hcall, params), call.params);

    // KVM's own, not ours: the VMM may take longer than this module is there.
    let complete = Some(symbols::kvm_xen_hypercall_complete_userspace as Complete);
    // SAFETY: The vCPU is the task's own, which alone reads and writes the field.
    unsafe { (*vcpu.as_raw()).arch.complete_userspace_io = complete };
    Next::VMM
}

/// The type of `complete_userspace_io`.
type Complete = unsafe extern "C" fn(*mut bindings::kvm_vcpu) -> c_int;

/// `struct kvm_run`, in which the vCPU's task and the VMM exchange what an exit is about; the VMM
/// has it mapped.
fn run(vcpu: OwnVcpu<'_>) -> Object<'_, bindings::kvm_run> {
    let run = field!(vcpu.object(), run).read_once();
    // SAFETY: The field is set before anybody has the vCPU, and never changes. It leads to pages of
    // its own, zeroed at first, which go with the vCPU.
    unsafe { Object::from_raw(run) }
}

/// Gives the guest the result that the VMM has found, unless the guest is not where it made the
/// hypercall any more, as after a reset.
pub(crate) fn complete_from_vmm(cx: &mut Ctx<'_, InKvmRun>, vcpu: OwnVcpu<'_>) -> Next {
    // SAFETY: The vCPU is the task's own, and so are its registers.
    if !unsafe { symbols::kvm_is_linear_rip(vcpu.as_raw(), vcpu.hypercall_rip() as c_ulong) } {
        return Next::GUEST;
    }
    let result = field!(run(vcpu), __bindgen_anon_1.xen.u.hcall.result);
    complete(cx, vcpu, result.read_once())
}
