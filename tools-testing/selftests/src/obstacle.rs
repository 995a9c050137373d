// SPDX-License-Identifier: GPL-2.0
//! What keeps all cases from running.

/// Why no case can run here, if that is so.
pub fn obstacle() -> Option<String> {
    let kvm = match kvm_ioctls::Kvm::new() {
        Ok(kvm) => kvm,
        Err(error) => return Some(format!("cannot open /dev/kvm: {error}")),
    };
    if let Err(error) = kvm.create_vm() {
        return Some(format!("KVM cannot create a VM: {error}"));
    }
    if kvm.check_extension_int(kvm_ioctls::Cap::XenHvm) <= 0 {
        return Some("KVM has no support for Xen guests (CONFIG_KVM_XEN)".into());
    }
    None
}
