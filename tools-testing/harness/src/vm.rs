// SPDX-License-Identifier: GPL-2.0
//! A VM and the ioctls on it.

use kvm_bindings::{
    kvm_enable_cap, kvm_irq_routing_xen_evtchn, kvm_userspace_memory_region, kvm_xen_hvm_config,
    KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_INVAL, KVM_MSR_EXIT_REASON_UNKNOWN,
};
use kvm_ioctls::{Kvm, VmFd};
use kvm_xen_ioctls::{intercept_hypercalls, XenVm};
use nix::errno::Errno;
use vm_memory::MmapRegion;

use super::ioctl;
use super::outcome::{Outcome, Stop};
use super::vcpu::Vcpu;

pub use kvm_xen_ioctls::PRIORITY_2LEVEL as PRIORITY;

/// The MSR by which guests ask for their hypercall page.
pub const HYPERCALL_MSR: u32 = 0x4000_0200;

/// A VM.
pub struct Vm {
    /// /dev/kvm.
    pub kvm: Kvm,
    /// The VM itself.
    pub fd: VmFd,
}

impl Vm {
    /// Makes a VM that has an in-kernel interrupt controller and nothing else.
    pub fn new() -> Outcome<Self> {
        let vm = Self::without_irqchip()?;
        vm.fd.create_irq_chip()?;
        Ok(vm)
    }

    /// Makes a VM that has nothing.
    pub fn without_irqchip() -> Outcome<Self> {
        let kvm = Kvm::new()?;
        let fd = kvm.create_vm()?;
        Ok(Self { kvm, fd })
    }

    /// KVM_CAP_XEN_HVM: what KVM can do for Xen guests.
    pub fn xen_features(&self) -> u32 {
        self.fd.xen_features()
    }

    /// Skips the case on a kernel without a feature of KVM_CAP_XEN_HVM.
    pub fn require(&self, feature: u32, name: &str) -> Outcome {
        if self.xen_features() & feature == feature {
            return Ok(());
        }
        Err(Stop::Skip(format!("KVM_CAP_XEN_HVM lacks {name}")))
    }

    /// Adds a vCPU.
    pub fn add_vcpu(&self, id: u32) -> Outcome<Vcpu> {
        Vcpu::new(self, id)
    }

    /// Gives `region` to the guest. It must stay mapped while vCPUs run.
    pub fn set_slot(&self, slot: u32, gpa: u64, region: &MmapRegion, flags: u32) -> Outcome {
        self.set_region(kvm_userspace_memory_region {
            slot,
            flags,
            guest_phys_addr: gpa,
            memory_size: region.size() as u64,
            userspace_addr: region.as_ptr() as u64,
        })
    }

    /// Takes a slot's memory from the guest.
    pub fn delete_slot(&self, slot: u32) -> Outcome {
        self.set_region(kvm_userspace_memory_region {
            slot,
            ..Default::default()
        })
    }

    fn set_region(&self, region: kvm_userspace_memory_region) -> Outcome {
        // SAFETY: the addresses are those of mappings that this process uses
        // for guest memory only, and as volatile memory.
        unsafe { self.fd.set_user_memory_region(region)? };
        Ok(())
    }

    /// Has KVM exit to userspace for MSRs that it does not know or does not accept.
    pub fn report_bad_msrs(&self) -> Outcome {
        let reasons = KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN;
        self.fd.enable_cap(&kvm_enable_cap {
            cap: KVM_CAP_X86_USER_SPACE_MSR,
            args: [reasons.into(), 0, 0, 0],
            ..Default::default()
        })?;
        Ok(())
    }

    /// KVM_XEN_HVM_CONFIG.
    pub fn xen_config(&self, config: &kvm_xen_hvm_config) -> nix::Result<()> {
        ioctl::xen_hvm_config(&self.fd, config)
    }

    /// The usual configuration: hypercalls are intercepted.
    pub fn intercept_hypercalls(&self) -> nix::Result<()> {
        self.xen_config(&intercepting())
    }

    /// KVM_XEN_HVM_EVTCHN_SEND: makes `port` pending at vCPU `vcpu`.
    pub fn send(&self, port: u32, vcpu: u32) -> nix::Result<()> {
        self.send_with_priority(port, vcpu, PRIORITY)
    }

    /// The same, with any priority.
    pub fn send_with_priority(&self, port: u32, vcpu: u32, priority: u32) -> nix::Result<()> {
        let event = kvm_irq_routing_xen_evtchn {
            port,
            vcpu,
            priority,
        };
        ioctl::xen_hvm_evtchn_send(&self.fd, &event)
    }
}

/// The usual configuration of Xen guests.
pub fn intercepting() -> kvm_xen_hvm_config {
    intercept_hypercalls(HYPERCALL_MSR, 0)
}

/// kvm-ioctls' errors as nix has them.
pub fn errno(error: kvm_ioctls::Error) -> Errno {
    Errno::from_raw(error.errno())
}
