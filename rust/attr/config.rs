// SPDX-License-Identifier: GPL-2.0

//! How a VM is a Xen guest: `KVM_XEN_HVM_CONFIG`.

use crate::{
    bindings::{
        kvm_xen_hvm_config, KVM_XEN_HVM_CONFIG_EVTCHN_SEND, KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL,
        KVM_XEN_HVM_CONFIG_PVCLOCK_TSC_UNSTABLE, KVM_XEN_MSR_MAX_INDEX, KVM_XEN_MSR_MIN_INDEX,
    },
    kvm::{enabled, Vm},
    prelude::*,
    sync::{Ctx, VmIoctl},
};

/// The flags that a VMM may set; the others only report to it what there is.
const PERMITTED: u32 = KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL
    | KVM_XEN_HVM_CONFIG_EVTCHN_SEND
    | KVM_XEN_HVM_CONFIG_PVCLOCK_TSC_UNSTABLE;

/// Makes a VM a Xen guest, changes how it is one, or ends it (`msr` 0). May sleep.
///
/// # Errors
///
/// `EINVAL` for a flag that may not be set, for hypercall pages beside intercepted hypercalls, or
/// for an MSR outside of those set aside for hypervisors. Nothing has changed then.
pub(crate) fn set(cx: &mut Ctx<'_, VmIoctl>, vm: Vm<'_>, config: &kvm_xen_hvm_config) -> Result {
    if config.flags & !PERMITTED != 0 {
        return Err(EINVAL);
    }
    // The kernel that intercepts hypercalls writes the page itself.
    let has_blob = config.blob_addr_32 != 0
        || config.blob_addr_64 != 0
        || config.blob_size_32 != 0
        || config.blob_size_64 != 0;
    if config.flags & KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL != 0 && has_blob {
        return Err(EINVAL);
    }
    // Another MSR may have a meaning of its own.
    if !matches!(
        config.msr,
        0 | KVM_XEN_MSR_MIN_INDEX..=KVM_XEN_MSR_MAX_INDEX
    ) {
        return Err(EINVAL);
    }

    // A configuration with an MSR counts as long as it is set. The counter is changed outside of
    // the leaf mutex, as code is patched where it leaves 0; and up before down, so that it never is
    // too low, whoever else sets a configuration meanwhile.
    if config.msr != 0 {
        enabled::inc(cx);
    }
    let old = {
        let mut xen = vm.lock_xen(cx);
        let old = xen.hvm_config();
        xen.set_hvm_config(config);
        old
    };
    if old.msr != 0 {
        enabled::dec_deferred();
    }
    if (old.flags ^ config.flags) & KVM_XEN_HVM_CONFIG_PVCLOCK_TSC_UNSTABLE != 0 {
        vm.request_clock_update(cx);
    }
    Ok(())
}
