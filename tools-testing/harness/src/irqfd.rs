// SPDX-License-Identifier: GPL-2.0
//! Interrupt routes to event channels, and eventfds that trigger them.

use std::os::fd::{AsRawFd, RawFd};

use kvm_bindings::{kvm_irq_routing_xen_evtchn, KvmIrqRouting};
use kvm_xen_ioctls::xen_evtchn_route;
use nix::errno::Errno;
use vmm_sys_util::eventfd::{EventFd, EFD_NONBLOCK};

use super::ioctl;
use super::outcome::Outcome;
use super::vm::{errno, Vm, PRIORITY};

/// A route from an interrupt line to a port.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Number of the line.
    pub gsi: u32,
    /// The port that becomes pending.
    pub port: u32,
    /// At this vCPU.
    pub vcpu: u32,
    /// [`PRIORITY`].
    pub priority: u32,
}

impl Route {
    /// A route as KVM accepts it.
    pub fn new(gsi: u32, port: u32, vcpu: u32) -> Self {
        Self {
            gsi,
            port,
            vcpu,
            priority: PRIORITY,
        }
    }
}

/// The routes as KVM_SET_GSI_ROUTING takes them.
pub fn table(routes: &[Route]) -> Result<KvmIrqRouting, Errno> {
    let entries: Vec<_> = routes
        .iter()
        .map(|route| {
            let event = kvm_irq_routing_xen_evtchn {
                port: route.port,
                vcpu: route.vcpu,
                priority: route.priority,
            };
            xen_evtchn_route(route.gsi, &event)
        })
        .collect();
    KvmIrqRouting::from_entries(&entries).map_err(|_| Errno::E2BIG)
}

/// An eventfd tied to an interrupt line.
pub struct Irqfd {
    eventfd: EventFd,
    gsi: u32,
}

impl AsRawFd for Irqfd {
    fn as_raw_fd(&self) -> RawFd {
        self.eventfd.as_raw_fd()
    }
}

impl Irqfd {
    /// Triggers the line. Delivery is done on return, unless it needs to sleep.
    pub fn signal(&self) -> Outcome {
        Ok(self.eventfd.write(1)?)
    }

    /// Unties it, which waits for deliveries that are under way.
    pub fn finish(self, vm: &Vm) -> Outcome {
        vm.fd.unregister_irqfd(&self.eventfd, self.gsi)?;
        Ok(())
    }
}

/// Routes of a VM.
impl Vm {
    /// KVM_SET_GSI_ROUTING: replaces all routes.
    pub fn set_routes(&self, routes: &[Route]) -> Result<(), Errno> {
        self.fd.set_gsi_routing(&table(routes)?).map_err(errno)
    }

    /// Ties a new eventfd to a line.
    pub fn irqfd(&self, gsi: u32) -> Outcome<Irqfd> {
        let eventfd = EventFd::new(EFD_NONBLOCK)?;
        self.fd.register_irqfd(&eventfd, gsi)?;
        Ok(Irqfd { eventfd, gsi })
    }

    /// Raises or lowers a line: 1 if delivered, 0 if already pending, else -1.
    pub fn irq_line_status(&self, gsi: u32, level: u32) -> Result<i32, Errno> {
        ioctl::irq_line_status(&self.fd, gsi, level)
    }
}
