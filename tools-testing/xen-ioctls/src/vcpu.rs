// SPDX-License-Identifier: GPL-2.0
//! Xen ioctls of a vCPU, and its hypercalls.

use kvm_bindings::{kvm_xen_vcpu_attr, KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO_HVA};
use kvm_ioctls::VcpuFd;

use crate::ioctls::{self, KVM_XEN_VCPU_GET_ATTR, KVM_XEN_VCPU_SET_ATTR};
use crate::vcpu_attr::attr;
use crate::{hypercall, Result, XenHypercall, XenVcpuAttr, XenVcpuAttrType};

/// KVM's Xen ioctls of a vCPU, and the hypercalls that it comes back for.
///
/// The ioctls are `ENOTTY` on a kernel without `CONFIG_KVM_XEN`, and wait while the vCPU runs.
///
/// # Examples
///
/// ```no_run
/// use kvm_ioctls::Kvm;
/// use kvm_xen_ioctls::{XenTimer, XenVcpu, XenVcpuAttr};
///
/// let vm = Kvm::new().unwrap().create_vm().unwrap();
/// let vcpu = vm.create_vcpu(0).unwrap();
/// // KVM serves the timer of the vCPU that the guest calls 0, by port 3.
/// vcpu.set_xen_attr(XenVcpuAttr::VcpuId(0)).unwrap();
/// vcpu.set_xen_attr(XenVcpuAttr::Timer(XenTimer { port: 3, expires_ns: 0 })).unwrap();
/// ```
pub trait XenVcpu {
    /// Sets an attribute: `KVM_XEN_VCPU_SET_ATTR`.
    ///
    /// Source: api.rst, 4.128.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the kernel does not know the attribute, and what [`XenVcpuAttr`] says of each.
    fn set_xen_attr(&self, attr: XenVcpuAttr) -> Result<()>;

    /// Reads an attribute, as it can be set: `KVM_XEN_VCPU_GET_ATTR`.
    ///
    /// Source: api.rst, 4.129.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the kernel does not know the attribute, or of `RunstateAddr` where there is none;
    /// `EOPNOTSUPP` of runstates without `KVM_XEN_HVM_CONFIG_RUNSTATE`; `EPROTO` if the answer makes
    /// no sense, which none of KVM's does.
    fn get_xen_attr(&self, kind: XenVcpuAttrType) -> Result<XenVcpuAttr>;

    /// Has `vcpu_info` at an address of this process: `KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO_HVA`. It is
    /// meant for a `vcpu_info` in `shared_info`, which stays where it is. 0 is for none.
    ///
    /// Source: api.rst, 4.128, with `KVM_XEN_HVM_CONFIG_SHARED_INFO_HVA`.
    ///
    /// # Errors
    ///
    /// `ENXIO` if it is no multiple of 4, `EINVAL` if its 64 bytes cross a page's end, `EFAULT` if
    /// nothing is mapped there, `ENOENT` if the kernel does not know the attribute.
    ///
    /// # Safety
    ///
    /// `hva` is 0, or that of 64 bytes of guest memory: KVM writes to them at any time, until it is
    /// told of others or the VM is gone.
    unsafe fn set_xen_vcpu_info_hva(&self, hva: u64) -> Result<()>;

    /// Where `vcpu_info` is in this process; 0 if it was not set so.
    ///
    /// Source: api.rst, 4.129.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the kernel does not know the attribute.
    fn get_xen_vcpu_info_hva(&self) -> Result<u64>;

    /// `KVM_XEN_VCPU_SET_ATTR` with any structure, as for attributes that are newer than this crate.
    ///
    /// # Errors
    ///
    /// What KVM returns; `ENOENT` if it does not know the attribute.
    ///
    /// # Safety
    ///
    /// As [`XenVcpu::set_xen_vcpu_info_hva`], if the structure has an address of this process.
    unsafe fn set_xen_attr_raw(&self, attr: &kvm_xen_vcpu_attr) -> Result<()>;

    /// `KVM_XEN_VCPU_GET_ATTR` with any structure. Nothing but the value is written to.
    ///
    /// # Errors
    ///
    /// What KVM returns; `ENOENT` if it does not know the attribute.
    fn get_xen_attr_raw(&self, attr: &mut kvm_xen_vcpu_attr) -> Result<()>;

    /// The hypercall that the vCPU has come back for; `None` if it is something else. To be asked
    /// when `VcpuFd::run` has returned `VcpuExit::Unsupported(KVM_EXIT_XEN)`.
    ///
    /// Source: api.rst, 5, `KVM_EXIT_XEN`.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use kvm_bindings::KVM_EXIT_XEN;
    /// use kvm_ioctls::{Kvm, VcpuExit};
    /// use kvm_xen_ioctls::XenVcpu;
    ///
    /// const XEN_ENOSYS: u64 = -38_i64 as u64;
    /// let vm = Kvm::new().unwrap().create_vm().unwrap();
    /// let mut vcpu = vm.create_vcpu(0).unwrap();
    /// while let VcpuExit::Unsupported(KVM_EXIT_XEN) = vcpu.run().unwrap() {
    ///     println!("{:?}", vcpu.xen_hypercall());
    ///     vcpu.set_xen_hypercall_result(XEN_ENOSYS).unwrap();
    /// }
    /// ```
    fn xen_hypercall(&mut self) -> Option<XenHypercall>;

    /// Has that hypercall return `result` to the guest, when the vCPU runs next. Xen's errors are
    /// Linux's, negated.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the vCPU has not come back for a hypercall.
    fn set_xen_hypercall_result(&mut self, result: u64) -> Result<()>;
}

impl XenVcpu for VcpuFd {
    fn set_xen_attr(&self, attr: XenVcpuAttr) -> Result<()> {
        // SAFETY: of no type is there an address of this process.
        unsafe { self.set_xen_attr_raw(&attr.encode()) }
    }

    fn get_xen_attr(&self, kind: XenVcpuAttrType) -> Result<XenVcpuAttr> {
        let mut attr = kind.encode();
        self.get_xen_attr_raw(&mut attr)?;
        kind.decode(&attr)
    }

    unsafe fn set_xen_vcpu_info_hva(&self, hva: u64) -> Result<()> {
        let mut attr = attr(KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO_HVA);
        attr.u.hva = hva;
        // SAFETY: by the contract.
        unsafe { self.set_xen_attr_raw(&attr) }
    }

    fn get_xen_vcpu_info_hva(&self) -> Result<u64> {
        let mut attr = attr(KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO_HVA);
        self.get_xen_attr_raw(&mut attr)?;
        // SAFETY: all bytes are initialized, and any are valid.
        Ok(unsafe { attr.u.hva })
    }

    unsafe fn set_xen_attr_raw(&self, attr: &kvm_xen_vcpu_attr) -> Result<()> {
        // SAFETY: it takes this structure; the rest is by the contract.
        unsafe { ioctls::write(self, KVM_XEN_VCPU_SET_ATTR(), attr) }
    }

    fn get_xen_attr_raw(&self, attr: &mut kvm_xen_vcpu_attr) -> Result<()> {
        // SAFETY: it takes this structure, which is made of integers.
        unsafe { ioctls::read(self, KVM_XEN_VCPU_GET_ATTR(), attr) }
    }

    fn xen_hypercall(&mut self) -> Option<XenHypercall> {
        hypercall::get(self.get_kvm_run())
    }

    fn set_xen_hypercall_result(&mut self, result: u64) -> Result<()> {
        hypercall::set_result(self.get_kvm_run(), result)
    }
}
