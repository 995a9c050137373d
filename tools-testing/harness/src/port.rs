// SPDX-License-Identifier: GPL-2.0
//! Outbound ports: what KVM does when the guest sends to them.

use std::os::fd::{AsRawFd, RawFd};

use kvm_bindings::*;
use nix::Result;

use super::ioctl;
use super::vm::{Vm, PRIORITY};
use crate::abi::status;

/// KVM_XEN_ATTR_TYPE_EVTCHN.
#[derive(Clone, Copy, Debug)]
pub struct Port {
    /// The port that the guest sends to.
    pub send_port: u32,
    /// What it is bound to.
    pub kind: u32,
    /// 0 to assign, or a KVM_XEN_EVTCHN_ flag.
    pub flags: u32,
    /// Where the events go.
    pub deliver: Deliver,
}

/// Where the events of a port go.
#[derive(Clone, Copy, Debug)]
pub enum Deliver {
    /// To a port of the same guest.
    Port {
        /// The port that becomes pending.
        port: u32,
        /// At this vCPU.
        vcpu: u32,
        /// [`PRIORITY`].
        priority: u32,
    },
    /// To an eventfd.
    Eventfd(RawFd),
}

impl Port {
    /// An IPI port of `vcpu`.
    pub fn ipi(port: u32, vcpu: u32) -> Self {
        Self::to_port(status::IPI, port, port, vcpu)
    }

    /// A port connected to another of the same guest.
    pub fn interdomain(send_port: u32, port: u32, vcpu: u32) -> Self {
        Self::to_port(status::INTERDOMAIN, send_port, port, vcpu)
    }

    /// A port of any kind whose events go to `port` of `vcpu`.
    pub fn to_port(kind: u32, send_port: u32, port: u32, vcpu: u32) -> Self {
        Self {
            send_port,
            kind,
            flags: 0,
            deliver: Deliver::Port {
                port,
                vcpu,
                priority: PRIORITY,
            },
        }
    }

    /// A port whose events go to the VMM.
    pub fn eventfd(send_port: u32, fd: &impl AsRawFd) -> Self {
        Self::raw_eventfd(send_port, fd.as_raw_fd())
    }

    /// The same, with anything for an eventfd.
    pub fn raw_eventfd(send_port: u32, fd: RawFd) -> Self {
        Self {
            send_port,
            kind: status::INTERDOMAIN,
            flags: 0,
            deliver: Deliver::Eventfd(fd),
        }
    }

    /// The same with another priority; a port with an eventfd has none.
    pub fn priority(mut self, value: u32) -> Self {
        if let Deliver::Port { priority, .. } = &mut self.deliver {
            *priority = value;
        }
        self
    }

    /// The same with another kind.
    pub fn kind(mut self, kind: u32) -> Self {
        self.kind = kind;
        self
    }

    /// The same with these flags.
    pub fn flags(mut self, flags: u32) -> Self {
        self.flags = flags;
        self
    }

    /// As KVM takes it.
    pub fn attr(&self) -> kvm_xen_hvm_attr {
        let mut attr = kvm_xen_hvm_attr {
            type_: KVM_XEN_ATTR_TYPE_EVTCHN as u16,
            ..Default::default()
        };
        let mut evtchn = kvm_xen_hvm_attr__bindgen_ty_1__bindgen_ty_2 {
            send_port: self.send_port,
            type_: self.kind,
            flags: self.flags,
            ..Default::default()
        };
        match self.deliver {
            Deliver::Port {
                port,
                vcpu,
                priority,
            } => evtchn.deliver.padding = [port, vcpu, priority, 0],
            Deliver::Eventfd(fd) => evtchn.deliver.padding = [0, fd as u32, 0, 0],
        }
        attr.u.evtchn = evtchn;
        attr
    }
}

/// Outbound ports of a VM.
impl Vm {
    /// KVM_XEN_HVM_SET_ATTR of KVM_XEN_ATTR_TYPE_EVTCHN, whatever the flags say.
    pub fn set_port(&self, port: Port) -> Result<()> {
        ioctl::xen_hvm_set_attr(&self.fd, &port.attr())
    }

    /// Assigns a port.
    pub fn assign(&self, port: Port) -> Result<()> {
        self.set_port(port.flags(0))
    }

    /// Changes a port's vCPU.
    pub fn update(&self, port: Port) -> Result<()> {
        self.set_port(port.flags(KVM_XEN_EVTCHN_UPDATE))
    }

    /// Takes a port away.
    pub fn deassign(&self, send_port: u32) -> Result<()> {
        // Of no use to KVM but the port's number.
        self.set_port(Port::to_port(0, send_port, 0, 0).flags(KVM_XEN_EVTCHN_DEASSIGN))
    }

    /// Takes all ports away.
    pub fn reset_ports(&self) -> Result<()> {
        self.set_port(Port::to_port(0, 0, 0, 0).flags(KVM_XEN_EVTCHN_RESET))
    }
}
