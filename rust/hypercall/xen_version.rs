// SPDX-License-Identifier: GPL-2.0

//! `HYPERVISOR_xen_version`.

use super::Handled;
use crate::{abi::hypercall::XENVER_VERSION, kvm::OwnVcpu};

/// Returns the version of Xen, if the VMM has set one.
pub(super) fn handle(vcpu: OwnVcpu<'_>, cmd: u64) -> Handled {
    if cmd != XENVER_VERSION {
        return None;
    }
    let version = vcpu.vm().xen_version()?;
    Some(version.get().into())
}
