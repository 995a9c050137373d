// SPDX-License-Identifier: GPL-2.0

//! The static key that tells KVM whether any VM of the machine is a Xen guest.

use crate::{
    bindings,
    livepatch::symbols::kvm_xen_enabled,
    sync::{order::XenLock, Ctx, MayEnter},
};

/// One more VM is a Xen guest. May sleep: code is patched, under locks that come before those of a
/// VM, so outside of `xen_lock`.
pub(crate) fn inc<H: MayEnter<XenLock>>(_cx: &mut Ctx<'_, H>) {
    let key = &raw mut kvm_xen_enabled;
    // SAFETY: The key is KVM's, initialized with it; its count is atomic. The context may sleep, and
    // holds nothing that comes after the locks which patching takes.
    unsafe { bindings::kvm_xen_rs_static_branch_inc(key) }
}

/// One VM less is a Xen guest. The code is patched some time later, as the key is a deferred one.
pub(crate) fn dec_deferred() {
    let key = &raw mut kvm_xen_enabled;
    // SAFETY: As above; the caller gives back a count of its own.
    unsafe { bindings::kvm_xen_rs_static_branch_dec_deferred(key) }
}
