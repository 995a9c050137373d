// SPDX-License-Identifier: GPL-2.0
//! Attributes of a VM and of a vCPU, with any value.

use kvm_bindings::*;
use nix::Result;

use super::ioctl;
use super::vcpu::Vcpu;
use super::vm::{Vm, PRIORITY};

pub use kvm_xen_ioctls::{INVALID_GFN, INVALID_GPA};

/// The union of an attribute as words; every type begins with the first.
pub type Payload = [u64; 8];

/// What an attribute of one number has in it.
pub fn word(value: impl Into<u64>) -> Payload {
    let mut payload = Payload::default();
    payload[0] = value.into();
    payload
}

/// A vCPU's timer, as KVM_XEN_VCPU_ATTR_TYPE_TIMER has it.
pub fn timer(port: u32, expires_ns: u64) -> Payload {
    let mut payload = word(u64::from(port) | (u64::from(PRIORITY) << 32));
    payload[1] = expires_ns;
    payload
}

/// Attributes of a VM.
impl Vm {
    /// KVM_XEN_HVM_SET_ATTR.
    pub fn set_attr(&self, kind: u32, payload: Payload) -> Result<()> {
        let mut attr = kvm_xen_hvm_attr {
            type_: kind as u16,
            ..Default::default()
        };
        attr.u.pad = payload;
        ioctl::xen_hvm_set_attr(&self.fd, &attr)
    }

    /// KVM_XEN_HVM_GET_ATTR.
    pub fn attr(&self, kind: u32) -> Result<Payload> {
        let mut attr = kvm_xen_hvm_attr {
            type_: kind as u16,
            ..Default::default()
        };
        ioctl::xen_hvm_get_attr(&self.fd, &mut attr)?;
        // SAFETY: `pad` covers the whole union, and any bytes are valid in it.
        Ok(unsafe { attr.u.pad })
    }

    /// Sets the word size of the guest: 0 for 32 bits.
    pub fn set_long_mode(&self, value: u8) -> Result<()> {
        self.set_attr(KVM_XEN_ATTR_TYPE_LONG_MODE, word(value))
    }

    /// The word size of the guest.
    pub fn long_mode(&self) -> Result<u8> {
        Ok(self.attr(KVM_XEN_ATTR_TYPE_LONG_MODE)?[0] as u8)
    }

    /// Puts shared_info at a guest frame.
    pub fn set_shared_info(&self, gfn: u64) -> Result<()> {
        self.set_attr(KVM_XEN_ATTR_TYPE_SHARED_INFO, word(gfn))
    }

    /// Guest frame of shared_info.
    pub fn shared_info(&self) -> Result<u64> {
        Ok(self.attr(KVM_XEN_ATTR_TYPE_SHARED_INFO)?[0])
    }

    /// Puts shared_info at an address of this process.
    pub fn set_shared_info_hva(&self, hva: u64) -> Result<()> {
        self.set_attr(KVM_XEN_ATTR_TYPE_SHARED_INFO_HVA, word(hva))
    }

    /// Address of shared_info in this process.
    pub fn shared_info_hva(&self) -> Result<u64> {
        Ok(self.attr(KVM_XEN_ATTR_TYPE_SHARED_INFO_HVA)?[0])
    }

    /// Sets the vector of upcalls on all vCPUs.
    pub fn set_upcall_vector(&self, vector: u8) -> Result<()> {
        self.set_attr(KVM_XEN_ATTR_TYPE_UPCALL_VECTOR, word(vector))
    }

    /// The vector of upcalls on all vCPUs.
    pub fn upcall_vector(&self) -> Result<u8> {
        Ok(self.attr(KVM_XEN_ATTR_TYPE_UPCALL_VECTOR)?[0] as u8)
    }

    /// Sets the version that KVM tells to the guest.
    pub fn set_xen_version(&self, version: u32) -> Result<()> {
        self.set_attr(KVM_XEN_ATTR_TYPE_XEN_VERSION, word(version))
    }

    /// The version that KVM tells to the guest.
    pub fn xen_version(&self) -> Result<u32> {
        Ok(self.attr(KVM_XEN_ATTR_TYPE_XEN_VERSION)?[0] as u32)
    }

    /// Whether KVM marks updates of runstates.
    pub fn set_runstate_update_flag(&self, flag: u8) -> Result<()> {
        self.set_attr(KVM_XEN_ATTR_TYPE_RUNSTATE_UPDATE_FLAG, word(flag))
    }

    /// Whether KVM marks updates of runstates.
    pub fn runstate_update_flag(&self) -> Result<u8> {
        Ok(self.attr(KVM_XEN_ATTR_TYPE_RUNSTATE_UPDATE_FLAG)?[0] as u8)
    }
}

/// Attributes of a vCPU.
impl Vcpu {
    /// KVM_XEN_VCPU_SET_ATTR.
    pub fn set_attr(&self, kind: u32, payload: Payload) -> Result<()> {
        let mut attr = kvm_xen_vcpu_attr {
            type_: kind as u16,
            ..Default::default()
        };
        attr.u.pad = payload;
        ioctl::xen_vcpu_set_attr(&self.fd, &attr)
    }

    /// KVM_XEN_VCPU_GET_ATTR.
    pub fn attr(&self, kind: u32) -> Result<Payload> {
        let mut attr = kvm_xen_vcpu_attr {
            type_: kind as u16,
            ..Default::default()
        };
        ioctl::xen_vcpu_get_attr(&self.fd, &mut attr)?;
        // SAFETY: `pad` covers the whole union, and any bytes are valid in it.
        Ok(unsafe { attr.u.pad })
    }

    /// Puts vcpu_info at a guest address.
    pub fn set_vcpu_info(&self, gpa: u64) -> Result<()> {
        self.set_attr(KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO, word(gpa))
    }

    /// Guest address of vcpu_info.
    pub fn vcpu_info(&self) -> Result<u64> {
        Ok(self.attr(KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO)?[0])
    }

    /// Puts vcpu_info at an address of this process.
    pub fn set_vcpu_info_hva(&self, hva: u64) -> Result<()> {
        self.set_attr(KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO_HVA, word(hva))
    }

    /// Address of vcpu_info in this process.
    pub fn vcpu_info_hva(&self) -> Result<u64> {
        Ok(self.attr(KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO_HVA)?[0])
    }

    /// Sets the vector that upcalls have at this vCPU's local APIC.
    pub fn set_upcall_vector(&self, vector: u8) -> Result<()> {
        self.set_attr(KVM_XEN_VCPU_ATTR_TYPE_UPCALL_VECTOR, word(vector))
    }
}
