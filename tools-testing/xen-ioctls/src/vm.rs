// SPDX-License-Identifier: GPL-2.0
//! Xen ioctls of a VM.

use kvm_bindings::{
    kvm_irq_routing_xen_evtchn, kvm_xen_hvm_attr, kvm_xen_hvm_config,
    KVM_XEN_ATTR_TYPE_SHARED_INFO_HVA,
};
use kvm_ioctls::{Cap, VmFd};

use crate::ioctls::{
    self, KVM_XEN_HVM_CONFIG, KVM_XEN_HVM_EVTCHN_SEND, KVM_XEN_HVM_GET_ATTR, KVM_XEN_HVM_SET_ATTR,
};
use crate::vm_attr::attr;
use crate::{Result, XenVmAttr, XenVmAttrType};

/// KVM's Xen ioctls of a VM.
///
/// All of them are `ENOTTY` on a kernel without `CONFIG_KVM_XEN`.
///
/// # Examples
///
/// A VM whose hypercalls KVM handles, and its attributes saved and restored:
///
/// ```no_run
/// use kvm_ioctls::Kvm;
/// use kvm_xen_ioctls::{intercept_hypercalls, XenVm, XenVmAttr, XenVmAttrType};
///
/// let kvm = Kvm::new().unwrap();
/// let vm = kvm.create_vm().unwrap();
/// vm.set_xen_config(&intercept_hypercalls(0x4000_0200, 0)).unwrap();
/// vm.set_xen_attr(XenVmAttr::LongMode(true)).unwrap();
/// vm.set_xen_attr(XenVmAttr::UpcallVector(0xf3)).unwrap();
///
/// let saved = XenVmAttrType::ALL.map(|kind| vm.get_xen_attr(kind).unwrap());
/// let restored = kvm.create_vm().unwrap();
/// for attr in saved {
///     restored.set_xen_attr(attr).unwrap();
/// }
/// ```
pub trait XenVm {
    /// What KVM can do for Xen guests: `KVM_XEN_HVM_CONFIG_` flags, or 0 if it can do nothing.
    ///
    /// Source: api.rst, 8.30 (`KVM_CAP_XEN_HVM`).
    fn xen_features(&self) -> u32;

    /// Has the VM's guest be one of Xen, or changes what KVM does for it: `KVM_XEN_HVM_CONFIG`.
    ///
    /// [`intercept_hypercalls`](crate::intercept_hypercalls) makes a usual configuration. Without
    /// `KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL` the VMM provides hypercall pages: `blob_addr_32` and
    /// `blob_addr_64` are addresses of this process, the sizes are in pages, and KVM copies a page
    /// when the guest asks for it. An `msr` of 0 has the guest be one of Xen no more.
    ///
    /// Source: api.rst, 4.28.
    ///
    /// # Errors
    ///
    /// `EINVAL` with other flags than `INTERCEPT_HCALL`, `EVTCHN_SEND` and `PVCLOCK_TSC_UNSTABLE`,
    /// with blobs in addition to `INTERCEPT_HCALL`, or with an MSR below `KVM_XEN_MSR_MIN_INDEX` or
    /// above `KVM_XEN_MSR_MAX_INDEX`, which old kernels don't mind.
    fn set_xen_config(&self, config: &kvm_xen_hvm_config) -> Result<()>;

    /// Sets an attribute: `KVM_XEN_HVM_SET_ATTR`.
    ///
    /// Source: api.rst, 4.126.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the kernel does not know the attribute, and what [`XenVmAttr`] says of each.
    ///
    /// # Examples
    ///
    /// Events that the guest sends to port 7 write to an eventfd:
    ///
    /// ```no_run
    /// use kvm_ioctls::Kvm;
    /// use kvm_xen_ioctls::{XenEvtchn, XenEvtchnTarget, XenVm, XenVmAttr};
    /// use vmm_sys_util::eventfd::EventFd;
    ///
    /// let vm = Kvm::new().unwrap().create_vm().unwrap();
    /// let eventfd = EventFd::new(0).unwrap();
    /// vm.set_xen_attr(XenVmAttr::Evtchn(XenEvtchn::Assign {
    ///     send_port: 7,
    ///     target: XenEvtchnTarget::Eventfd(&eventfd),
    /// })).unwrap();
    /// ```
    fn set_xen_attr(&self, attr: XenVmAttr) -> Result<()>;

    /// Reads an attribute, as it can be set: `KVM_XEN_HVM_GET_ATTR`.
    ///
    /// Source: api.rst, 4.127.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the kernel does not know the attribute; `EOPNOTSUPP` of `RunstateUpdateFlag`
    /// without `KVM_XEN_HVM_CONFIG_RUNSTATE`.
    fn get_xen_attr(&self, kind: XenVmAttrType) -> Result<XenVmAttr<'static>>;

    /// Has `shared_info` at an address of this process, wherever the guest has it:
    /// `KVM_XEN_ATTR_TYPE_SHARED_INFO_HVA`. 0 is for no page.
    ///
    /// Source: api.rst, 4.126, with `KVM_XEN_HVM_CONFIG_SHARED_INFO_HVA`.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is no multiple of 4096, `EFAULT` if nothing is mapped there, `ENOENT` if the
    /// kernel does not know the attribute.
    ///
    /// # Safety
    ///
    /// `hva` is 0, or that of a page of guest memory: KVM writes to it at any time, until it is
    /// told of another or the VM is gone.
    unsafe fn set_xen_shared_info_hva(&self, hva: u64) -> Result<()>;

    /// Where `shared_info` is in this process; 0 if it was not set so.
    ///
    /// Source: api.rst, 4.127.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the kernel does not know the attribute.
    fn get_xen_shared_info_hva(&self) -> Result<u64>;

    /// `KVM_XEN_HVM_SET_ATTR` with any structure, as for attributes that are newer than this crate.
    ///
    /// # Errors
    ///
    /// What KVM returns; `ENOENT` if it does not know the attribute.
    ///
    /// # Safety
    ///
    /// As [`XenVm::set_xen_shared_info_hva`], if the structure has an address of this process. A
    /// file that is named in it is the caller's.
    unsafe fn set_xen_attr_raw(&self, attr: &kvm_xen_hvm_attr) -> Result<()>;

    /// `KVM_XEN_HVM_GET_ATTR` with any structure. Nothing but the value is written to.
    ///
    /// # Errors
    ///
    /// What KVM returns; `ENOENT` if it does not know the attribute.
    fn get_xen_attr_raw(&self, attr: &mut kvm_xen_hvm_attr) -> Result<()>;

    /// Sends an event to the guest: `KVM_XEN_HVM_EVTCHN_SEND`. Its port becomes pending, and if it
    /// was not and is not masked, its vCPU is told.
    ///
    /// [`xen_evtchn`](crate::xen_evtchn) makes an event.
    ///
    /// Source: api.rst, 4.135.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is no such port, vCPU or priority, or no `shared_info`. An event that is
    /// masked or pending already is no error.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use kvm_ioctls::Kvm;
    /// use kvm_xen_ioctls::{xen_evtchn, XenVm};
    ///
    /// let vm = Kvm::new().unwrap().create_vm().unwrap();
    /// // ... with vCPU 0 and shared_info
    /// vm.send_xen_evtchn(&xen_evtchn(5, 0)).unwrap();
    /// ```
    fn send_xen_evtchn(&self, event: &kvm_irq_routing_xen_evtchn) -> Result<()>;
}

impl XenVm for VmFd {
    fn xen_features(&self) -> u32 {
        self.check_extension_int(Cap::XenHvm).max(0) as u32
    }

    fn set_xen_config(&self, config: &kvm_xen_hvm_config) -> Result<()> {
        // SAFETY: it takes this structure, and KVM only reads from addresses in it, as bytes.
        unsafe { ioctls::write(self, KVM_XEN_HVM_CONFIG(), config) }
    }

    fn set_xen_attr(&self, attr: XenVmAttr) -> Result<()> {
        // SAFETY: of no type is there an address of this process, and a file is borrowed.
        unsafe { self.set_xen_attr_raw(&attr.encode()?) }
    }

    fn get_xen_attr(&self, kind: XenVmAttrType) -> Result<XenVmAttr<'static>> {
        let mut attr = kind.encode();
        self.get_xen_attr_raw(&mut attr)?;
        Ok(kind.decode(&attr))
    }

    unsafe fn set_xen_shared_info_hva(&self, hva: u64) -> Result<()> {
        let mut attr = attr(KVM_XEN_ATTR_TYPE_SHARED_INFO_HVA);
        attr.u.shared_info.hva = hva;
        // SAFETY: by the contract.
        unsafe { self.set_xen_attr_raw(&attr) }
    }

    fn get_xen_shared_info_hva(&self) -> Result<u64> {
        let mut attr = attr(KVM_XEN_ATTR_TYPE_SHARED_INFO_HVA);
        self.get_xen_attr_raw(&mut attr)?;
        // SAFETY: all bytes are initialized, and any are valid.
        Ok(unsafe { attr.u.shared_info.hva })
    }

    unsafe fn set_xen_attr_raw(&self, attr: &kvm_xen_hvm_attr) -> Result<()> {
        // SAFETY: it takes this structure; the rest is by the contract.
        unsafe { ioctls::write(self, KVM_XEN_HVM_SET_ATTR(), attr) }
    }

    fn get_xen_attr_raw(&self, attr: &mut kvm_xen_hvm_attr) -> Result<()> {
        // SAFETY: it takes this structure, which is made of integers.
        unsafe { ioctls::read(self, KVM_XEN_HVM_GET_ATTR(), attr) }
    }

    fn send_xen_evtchn(&self, event: &kvm_irq_routing_xen_evtchn) -> Result<()> {
        // SAFETY: it takes this structure; KVM writes to what it was given for shared_info.
        unsafe { ioctls::write(self, KVM_XEN_HVM_EVTCHN_SEND(), event) }
    }
}
