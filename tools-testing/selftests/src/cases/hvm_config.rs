// SPDX-License-Identifier: GPL-2.0
//! KVM_CAP_XEN_HVM and KVM_XEN_HVM_CONFIG. The configuration can't be read
//! back, so guests tell: they write the MSR and make hypercalls.

use kvm_bindings::*;
use nix::errno::Errno;

use crate::topic;
use harness::abi::hypercall::{XENVER_EXTRAVERSION, XEN_VERSION};
use harness::abi::Abi;
use harness::check::{check, check_eq, check_err, check_ok};
use harness::guest_code::HYPERCALL_PAGE;
use harness::host_cpu::hypercall_instruction;
use harness::machine::Machine;
use harness::outcome::Outcome;
use harness::vcpu::Exit;
use harness::vm::{intercepting, Vm, HYPERCALL_MSR};

#[track_caller]
fn check_intercepted(machine: &mut Machine) -> Outcome {
    let exit = machine.vcpus[0].hypercall(XEN_VERSION, &[XENVER_EXTRAVERSION])?;
    let intercepted = matches!(exit, Exit::Hypercall(_));
    check(
        format!("a hypercall to exit to the VMM, got {exit:?}"),
        intercepted,
    )
}

/// Features that KVM_CAP_XEN_HVM tells of, and that it tells of no others.
fn capability_has_the_documented_bits() -> Outcome {
    let features = Vm::new()?.xen_features();
    let always = KVM_XEN_HVM_CONFIG_HYPERCALL_MSR
        | KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL
        | KVM_XEN_HVM_CONFIG_SHARED_INFO
        | KVM_XEN_HVM_CONFIG_EVTCHN_2LEVEL
        | KVM_XEN_HVM_CONFIG_EVTCHN_SEND
        | KVM_XEN_HVM_CONFIG_PVCLOCK_TSC_UNSTABLE
        | KVM_XEN_HVM_CONFIG_SHARED_INFO_HVA;
    // Only where the scheduler keeps statistics, and then both.
    let runstate = KVM_XEN_HVM_CONFIG_RUNSTATE | KVM_XEN_HVM_CONFIG_RUNSTATE_UPDATE_FLAG;
    let expected = if features & runstate == 0 {
        always
    } else {
        always | runstate
    };
    check_eq("KVM_CAP_XEN_HVM", features, expected)
}

/// Three flags may be set, each alone and all together.
fn permitted_flags_are_accepted() -> Outcome {
    let vm = Vm::new()?;
    let permitted = [
        KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL,
        KVM_XEN_HVM_CONFIG_EVTCHN_SEND,
        KVM_XEN_HVM_CONFIG_PVCLOCK_TSC_UNSTABLE,
    ];
    let all = permitted.iter().fold(0, |all, flag| all | flag);
    for flags in permitted.into_iter().chain([all, 0]) {
        let config = kvm_xen_hvm_config {
            flags,
            ..intercepting()
        };
        check_ok(format!("flags {flags:#x}"), vm.xen_config(&config))?;
    }
    Ok(())
}

/// Features that need not be asked for can't be.
fn other_flags_are_einval() -> Outcome {
    let vm = Vm::new()?;
    let permitted = KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL
        | KVM_XEN_HVM_CONFIG_EVTCHN_SEND
        | KVM_XEN_HVM_CONFIG_PVCLOCK_TSC_UNSTABLE;
    for bit in (0..32).filter(|bit| permitted & (1 << bit) == 0) {
        for others in [0, permitted] {
            let config = kvm_xen_hvm_config {
                flags: others | (1 << bit),
                ..intercepting()
            };
            let what = format!("flags {:#x}", config.flags);
            check_err(what, vm.xen_config(&config), Errno::EINVAL)?;
        }
    }
    Ok(())
}

/// KVM makes the page itself then.
fn blob_with_interception_is_einval() -> Outcome {
    let vm = Vm::new()?;
    let good = intercepting();
    for config in [
        kvm_xen_hvm_config {
            blob_addr_32: 1,
            ..good
        },
        kvm_xen_hvm_config {
            blob_addr_64: 1 << 40,
            ..good
        },
        kvm_xen_hvm_config {
            blob_size_32: 1,
            ..good
        },
        kvm_xen_hvm_config {
            blob_size_64: 1,
            ..good
        },
    ] {
        let what = format!("{config:?}");
        check_err(what, vm.xen_config(&config), Errno::EINVAL)?;
    }
    check_ok("no blob", vm.xen_config(&good))
}

/// The range for hypervisors, and 0 for none.
fn msr_must_be_a_synthetic_one() -> Outcome {
    let vm = Vm::new()?;
    for (msr, good) in [
        (0, true),
        (1, false),
        (0x10, false),
        (0x3fff_ffff, false),
        (0x4000_0000, true),
        (0x4fff_ffff, true),
        (0x5000_0000, false),
        (0xc000_0080, false),
        (u32::MAX, false),
    ] {
        let result = vm.xen_config(&kvm_xen_hvm_config {
            msr,
            ..intercepting()
        });
        let what = format!("MSR {msr:#x}");
        if good {
            check_ok(what, result)?;
        } else {
            check_err(what, result, Errno::EINVAL)?;
        }
    }
    Ok(())
}

/// After refused calls the guest finds what was configured before them.
fn refused_configuration_changes_nothing(abi: Abi) -> Outcome {
    let mut machine = Machine::booted_with_msr_exits(abi)?;
    machine.vm.xen_config(&intercepting())?;
    for config in [
        kvm_xen_hvm_config {
            flags: KVM_XEN_HVM_CONFIG_SHARED_INFO,
            msr: 0,
            ..Default::default()
        },
        kvm_xen_hvm_config {
            flags: 0,
            msr: 0x10,
            ..Default::default()
        },
        kvm_xen_hvm_config {
            msr: HYPERCALL_MSR + 1,
            blob_size_64: 1,
            ..intercepting()
        },
    ] {
        let what = format!("{config:?}");
        check_err(what, machine.vm.xen_config(&config), Errno::EINVAL)?;
    }
    let exit = machine.vcpus[0].wrmsr(HYPERCALL_MSR, HYPERCALL_PAGE)?;
    check_eq("write of the MSR", exit, Exit::Done)?;
    check_intercepted(&mut machine)
}

/// Without MSR and flags the VM is no Xen guest any more.
fn disabled_msr_and_hypercalls_are_unknown(abi: Abi) -> Outcome {
    const KVM_ENOSYS: i64 = 1000;
    let mut machine = Machine::booted_with_msr_exits(abi)?;
    machine.vm.xen_config(&intercepting())?;
    machine.vm.xen_config(&Default::default())?;

    let exit = machine.vcpus[0].wrmsr(HYPERCALL_MSR, HYPERCALL_PAGE)?;
    let unknown = Exit::Wrmsr(HYPERCALL_MSR, HYPERCALL_PAGE, KVM_MSR_EXIT_REASON_UNKNOWN);
    check_eq("write of the MSR", exit, unknown)?;

    let (entry, _) = hypercall_instruction();
    let vcpu = &mut machine.vcpus[0];
    let exit = vcpu.hypercall_by(entry, XEN_VERSION, &[XENVER_EXTRAVERSION])?;
    check_eq("hypercall", exit, Exit::Done)?;
    check_eq("KVM's own answer", vcpu.result()?, -KVM_ENOSYS as u64)
}

/// Another MSR than the configured one is none of Xen's.
fn configured_msr_replaces_the_former(abi: Abi) -> Outcome {
    const OTHER_MSR: u32 = HYPERCALL_MSR + 0x100;
    let mut machine = Machine::booted_with_msr_exits(abi)?;
    machine.vm.xen_config(&intercepting())?;
    machine.vm.xen_config(&kvm_xen_hvm_config {
        msr: OTHER_MSR,
        ..intercepting()
    })?;
    let exit = machine.vcpus[0].wrmsr(HYPERCALL_MSR, HYPERCALL_PAGE)?;
    let unknown = Exit::Wrmsr(HYPERCALL_MSR, HYPERCALL_PAGE, KVM_MSR_EXIT_REASON_UNKNOWN);
    check_eq("write of the former MSR", exit, unknown)?;
    let exit = machine.vcpus[0].wrmsr(OTHER_MSR, HYPERCALL_PAGE)?;
    check_eq("write of the MSR", exit, Exit::Done)
}

topic! { "hvm_config";
    once capability_has_the_documented_bits,
    once permitted_flags_are_accepted,
    once other_flags_are_einval,
    once blob_with_interception_is_einval,
    once msr_must_be_a_synthetic_one,
    each_abi refused_configuration_changes_nothing,
    each_abi disabled_msr_and_hypercalls_are_unknown,
    each_abi configured_msr_replaces_the_former,
}
