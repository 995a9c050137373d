// SPDX-License-Identifier: GPL-2.0
//! Event channels: where events are sent, and what comes of those that the guest sends.

use std::fmt;
use std::os::fd::AsRawFd;

use kvm_bindings::{
    kvm_irq_routing_entry, kvm_irq_routing_xen_evtchn,
    kvm_xen_hvm_attr__bindgen_ty_1__bindgen_ty_2, KVM_IRQ_ROUTING_XEN_EVTCHN,
    KVM_XEN_EVTCHN_DEASSIGN, KVM_XEN_EVTCHN_RESET, KVM_XEN_EVTCHN_UPDATE,
};
use vmm_sys_util::eventfd::EventFd;

use crate::{Error, Result};

/// `KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL`: the priority of all events of the 2-level ABI, which
/// is the one that KVM has. It refuses any other by `EINVAL`.
pub const PRIORITY_2LEVEL: u32 = u32::MAX;

/// Xen's `EVTCHNSTAT_interdomain`: a port connected to another.
pub const EVTCHNSTAT_INTERDOMAIN: u32 = 2;
/// Xen's `EVTCHNSTAT_ipi`: a port by which a guest interrupts its own vCPUs.
pub const EVTCHNSTAT_IPI: u32 = 5;

/// An event for `port`, told to vCPU `vcpu`.
///
/// * `port`: from 1 to 1023 in a 32-bit guest, to 4095 in a 64-bit one.
/// * `vcpu`: the number that the vCPU was created with, which is its APIC id.
///
/// Source: api.rst, 4.135.
///
/// # Examples
///
/// ```
/// let event = kvm_xen_ioctls::xen_evtchn(5, 0);
/// assert_eq!(event.priority, kvm_xen_ioctls::PRIORITY_2LEVEL);
/// ```
pub fn xen_evtchn(port: u32, vcpu: u32) -> kvm_irq_routing_xen_evtchn {
    kvm_irq_routing_xen_evtchn {
        port,
        vcpu,
        priority: PRIORITY_2LEVEL,
    }
}

/// An entry of an interrupt routing table that has line `gsi` send `event`, as for an irqfd.
///
/// KVM looks at neither port nor vCPU when the table is set, as they may come to be later: an event
/// that gets nowhere is dropped when it is sent. Another priority is `EINVAL`.
///
/// Source: api.rst, 4.52 (`KVM_SET_GSI_ROUTING`), with `KVM_XEN_HVM_CONFIG_EVTCHN_2LEVEL`.
///
/// # Examples
///
/// ```no_run
/// use kvm_bindings::KvmIrqRouting;
/// use kvm_ioctls::Kvm;
/// use kvm_xen_ioctls::{xen_evtchn, xen_evtchn_route};
/// use vmm_sys_util::eventfd::EventFd;
///
/// const GSI: u32 = 24;
/// let vm = Kvm::new().unwrap().create_vm().unwrap();
/// vm.create_irq_chip().unwrap();
/// let routes = [xen_evtchn_route(GSI, &xen_evtchn(5, 0))];
/// vm.set_gsi_routing(&KvmIrqRouting::from_entries(&routes).unwrap()).unwrap();
/// let irqfd = EventFd::new(0).unwrap();
/// vm.register_irqfd(&irqfd, GSI).unwrap();
/// irqfd.write(1).unwrap();
/// ```
pub fn xen_evtchn_route(gsi: u32, event: &kvm_irq_routing_xen_evtchn) -> kvm_irq_routing_entry {
    let mut entry = kvm_irq_routing_entry {
        gsi,
        type_: KVM_IRQ_ROUTING_XEN_EVTCHN,
        ..Default::default()
    };
    entry.u.xen_evtchn = *event;
    entry
}

/// What becomes of events that the guest sends to a port by `EVTCHNOP_send`:
/// `KVM_XEN_ATTR_TYPE_EVTCHN`. To ports that nothing is said of, the hypercall comes to the VMM.
///
/// `send_port` is from 1 to 1023 in a 32-bit guest, to 4095 in a 64-bit one; KVM refuses others by
/// `EINVAL`.
///
/// Source: api.rst, 4.126, with `KVM_XEN_HVM_CONFIG_EVTCHN_SEND`.
#[derive(Clone, Copy)]
pub enum XenEvtchn<'a> {
    /// Has KVM handle events that are sent to a port. `EEXIST` if it does already.
    Assign {
        /// The port.
        send_port: u32,
        /// Where they go.
        target: XenEvtchnTarget<'a>,
    },
    /// Sends events of a port that was assigned to another vCPU. Nothing else may differ from what
    /// was assigned, and the events of an eventfd go to none: `EINVAL`. `ENOENT` if KVM does not
    /// handle the port.
    Update {
        /// The port.
        send_port: u32,
        /// Where they go.
        target: XenEvtchnTarget<'a>,
    },
    /// Leaves a port to the VMM again. `ENOENT` if it is.
    Deassign {
        /// The port.
        send_port: u32,
    },
    /// Leaves all ports to the VMM, as when a guest is reset.
    Reset,
}

/// Where events go that a guest sends.
#[derive(Clone, Copy)]
pub enum XenEvtchnTarget<'a> {
    /// To the same port of the same guest, told to this vCPU: an inter-processor interrupt.
    Ipi {
        /// The vCPU's number, which is its APIC id.
        vcpu: u32,
    },
    /// To another port of the same guest.
    Interdomain {
        /// That port; not 0, and no higher than those of `send_port`.
        port: u32,
        /// The number of the vCPU that is told, which is its APIC id.
        vcpu: u32,
    },
    /// To the VMM. KVM keeps what the eventfd stands for, so it may be closed.
    Eventfd(&'a EventFd),
}

impl fmt::Debug for XenEvtchnTarget<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipi { vcpu } => f.debug_struct("Ipi").field("vcpu", vcpu).finish(),
            Self::Interdomain { port, vcpu } => f
                .debug_struct("Interdomain")
                .field("port", port)
                .field("vcpu", vcpu)
                .finish(),
            Self::Eventfd(eventfd) => f
                .debug_tuple("Eventfd")
                .field(&eventfd.as_raw_fd())
                .finish(),
        }
    }
}

impl fmt::Debug for XenEvtchn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, send_port, target) = match self {
            Self::Assign { send_port, target } => ("Assign", Some(send_port), Some(target)),
            Self::Update { send_port, target } => ("Update", Some(send_port), Some(target)),
            Self::Deassign { send_port } => ("Deassign", Some(send_port), None),
            Self::Reset => ("Reset", None, None),
        };
        let mut debug = f.debug_struct(name);
        send_port.map(|port| debug.field("send_port", port));
        target.map(|target| debug.field("target", target));
        debug.finish()
    }
}

type Encoded = kvm_xen_hvm_attr__bindgen_ty_1__bindgen_ty_2;

impl XenEvtchn<'_> {
    /// As KVM has it.
    pub(crate) fn encode(&self) -> Result<Encoded> {
        match *self {
            Self::Assign { send_port, target } => target.encode(send_port, 0),
            Self::Update { send_port, target } => target.encode(send_port, KVM_XEN_EVTCHN_UPDATE),
            Self::Deassign { send_port } => Ok(Encoded {
                send_port,
                flags: KVM_XEN_EVTCHN_DEASSIGN,
                ..Default::default()
            }),
            Self::Reset => Ok(Encoded {
                flags: KVM_XEN_EVTCHN_RESET,
                ..Default::default()
            }),
        }
    }
}

impl XenEvtchnTarget<'_> {
    fn encode(&self, send_port: u32, flags: u32) -> Result<Encoded> {
        let (type_, padding) = match *self {
            Self::Ipi { vcpu } => (EVTCHNSTAT_IPI, [send_port, vcpu, PRIORITY_2LEVEL, 0]),
            // KVM would take the vCPU's number for that of a file.
            Self::Interdomain { port: 0, .. } => return Err(Error::new(libc::EINVAL)),
            Self::Interdomain { port, vcpu } => {
                (EVTCHNSTAT_INTERDOMAIN, [port, vcpu, PRIORITY_2LEVEL, 0])
            }
            Self::Eventfd(eventfd) => {
                let fd = eventfd.as_raw_fd() as u32;
                (EVTCHNSTAT_INTERDOMAIN, [0, fd, 0, 0])
            }
        };
        let mut encoded = Encoded {
            send_port,
            type_,
            flags,
            ..Default::default()
        };
        encoded.deliver.padding = padding;
        Ok(encoded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(evtchn: XenEvtchn) -> ([u32; 3], [u32; 4]) {
        let encoded = evtchn.encode().unwrap();
        // SAFETY: any bytes are valid in it.
        let deliver = unsafe { encoded.deliver.padding };
        ([encoded.send_port, encoded.type_, encoded.flags], deliver)
    }

    #[test]
    fn an_ipi_comes_back_to_its_port() {
        let target = XenEvtchnTarget::Ipi { vcpu: 3 };
        let assign = XenEvtchn::Assign {
            send_port: 7,
            target,
        };
        assert_eq!(words(assign), ([7, 5, 0], [7, 3, u32::MAX, 0]));
        let update = XenEvtchn::Update {
            send_port: 7,
            target,
        };
        assert_eq!(words(update).0, [7, 5, 2]);
    }

    #[test]
    fn another_port() {
        let assign = |port| XenEvtchn::Assign {
            send_port: 7,
            target: XenEvtchnTarget::Interdomain { port, vcpu: 3 },
        };
        assert_eq!(words(assign(8)), ([7, 2, 0], [8, 3, u32::MAX, 0]));
        assert_eq!(
            assign(0).encode().err(),
            Some(Error::new(libc::EINVAL)),
            "3 would be the number of a file"
        );
    }

    #[test]
    fn an_eventfd_has_no_port() {
        let eventfd = EventFd::new(0).unwrap();
        let assign = XenEvtchn::Assign {
            send_port: 7,
            target: XenEvtchnTarget::Eventfd(&eventfd),
        };
        let fd = eventfd.as_raw_fd() as u32;
        assert_eq!(words(assign), ([7, 2, 0], [0, fd, 0, 0]));
        assert!(format!("{assign:?}").contains(&format!("Eventfd({fd})")));
    }

    #[test]
    fn back_to_the_vmm() {
        assert_eq!(words(XenEvtchn::Deassign { send_port: 9 }).0, [9, 0, 1]);
        assert_eq!(words(XenEvtchn::Reset).0, [0, 0, 4]);
        assert_eq!(format!("{:?}", XenEvtchn::Reset), "Reset");
    }

    #[test]
    fn a_route_has_its_event() {
        let entry = xen_evtchn_route(24, &xen_evtchn(5, 1));
        assert_eq!((entry.gsi, entry.type_, entry.flags), (24, 5, 0));
        // SAFETY: this member was written.
        assert_eq!(unsafe { entry.u.xen_evtchn }, xen_evtchn(5, 1));
    }
}
