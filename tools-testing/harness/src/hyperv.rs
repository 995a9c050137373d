// SPDX-License-Identifier: GPL-2.0
//! Hyper-V's interface, for guests that have it beside Xen's.

use kvm_bindings::{kvm_cpuid_entry2, kvm_msr_entry, kvm_regs, CpuId, Msrs, KVM_MAX_CPUID_ENTRIES};

use super::check::check_eq;
use super::outcome::{fail, Outcome};
use super::vcpu::Vcpu;
use super::vm::Vm;
use crate::abi::Abi;

/// HV_STATUS_INVALID_HYPERCALL_CODE and HV_STATUS_INVALID_HYPERCALL_INPUT.
const INVALID_CODE: u64 = 2;
const INVALID_INPUT: u64 = 3;

/// HV_X64_MSR_GUEST_OS_ID: any but 0, and hypercalls are on.
const GUEST_OS_ID_MSR: u32 = 0x4000_0000;

/// The leaves that say so: vendor, interface, and what the guest may use.
const LEAVES: [(u32, [u32; 4]); 3] = [
    (
        0x4000_0000,
        [0x4000_0003, 0x7263_694d, 0x666f_736f, 0x7648_2074],
    ),
    (0x4000_0001, [0x3123_7648, 0, 0, 0]),
    // HV_MSR_HYPERCALL_AVAILABLE.
    (0x4000_0003, [1 << 5, 0, 0, 0]),
];

/// Makes it a guest of Hyper-V's, too; before the vCPU first runs.
pub fn enable(vm: &Vm, vcpu: &Vcpu) -> Outcome {
    let mut cpuid: CpuId = vm.kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)?;
    for (function, [eax, ebx, ecx, edx]) in LEAVES {
        let kept: Vec<_> = cpuid.as_slice().to_vec();
        let others = kept.into_iter().filter(|entry| entry.function != function);
        let entries: Vec<_> = others
            .chain([kvm_cpuid_entry2 {
                function,
                eax,
                ebx,
                ecx,
                edx,
                ..Default::default()
            }])
            .collect();
        cpuid = CpuId::from_entries(&entries).map_err(|error| fail(format!("{error:?}")))?;
    }
    vcpu.fd.set_cpuid2(&cpuid)?;
    let msrs = Msrs::from_entries(&[kvm_msr_entry {
        index: GUEST_OS_ID_MSR,
        data: 1,
        ..Default::default()
    }])
    .map_err(|error| fail(format!("{error:?}")))?;
    check_eq("MSRs set", vcpu.fd.set_msrs(&msrs)?, 1)
}

/// A hypercall that Hyper-V does not have, and the status it has for that; bit 31
/// of eax makes it Hyper-V's.
pub fn unknown_call(abi: Abi) -> (kvm_regs, u64) {
    const CODE: u64 = 0x7fff;
    let mut regs = kvm_regs {
        rax: 1 << 31,
        ..Default::default()
    };
    match abi {
        // The input is in edx:eax, where that bit is a reserved one.
        Abi::Bits32 => (regs, INVALID_INPUT),
        Abi::Bits64 => {
            regs.rcx = CODE;
            (regs, INVALID_CODE)
        }
    }
}
