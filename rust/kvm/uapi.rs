// SPDX-License-Identifier: GPL-2.0

//! The user's structures, whose unions are of integers alone.
//!
//! Source: `include/uapi/linux/kvm.h`, Documentation/virt/kvm/api.rst.

use crate::{
    abi::runstate::{Runstate, State},
    bindings,
};
use kernel::ffi::c_int;

/// The priority of a port of the 2-level ABI (`KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL`).
pub(crate) const PRIO_2LEVEL: u32 = u32::MAX;

/// No guest frame (`KVM_XEN_INVALID_GFN`).
pub(crate) const INVALID_GFN: u64 = u64::MAX;

/// No guest-physical address (`KVM_XEN_INVALID_GPA`).
pub(crate) const INVALID_GPA: u64 = u64::MAX;

/// In a shift of the runstate: the state stays.
pub(crate) const NO_STATE: u64 = u64::MAX;

/// `struct kvm_xen_hvm_attr`: an attribute of a VM.
pub(crate) struct HvmAttr<'a>(pub(crate) &'a mut bindings::kvm_xen_hvm_attr);

/// `KVM_XEN_ATTR_TYPE_EVTCHN`, as the user wrote it.
#[derive(Clone, Copy)]
pub(crate) struct EvtchnAttr {
    /// The port that the guest sends through.
    pub(crate) send_port: u32,
    /// `EVTCHNSTAT_*`.
    pub(crate) kind: u32,
    /// `KVM_XEN_EVTCHN_*`.
    pub(crate) flags: u32,
    /// The port to deliver to, or 0 for an eventfd.
    pub(crate) port: u32,
    /// The vCPU to deliver to.
    pub(crate) vcpu: u32,
    /// The priority to deliver with.
    pub(crate) priority: u32,
    /// The descriptor of the eventfd.
    pub(crate) fd: c_int,
}

/// A getter and a setter of a field of the union.
macro_rules! fields {
    ($($(#[$doc:meta])* $get:ident, $set:ident, $($field:ident).+: $type:ty;)*) => {$(
        $(#[$doc])*
        pub(crate) fn $get(&self) -> $type {
            #[allow(
                clippy::multiple_unsafe_ops_per_block,
                reason = "it is read once, by way of two unions"
            )]
            // SAFETY: The structure is initialized as a whole, and is the caller's own. Any bytes are
            // a value of the field.
            unsafe {
                self.0.u.$($field).+
            }
        }

        /// Returns it to the user.
        pub(crate) fn $set(&mut self, value: $type) {
            self.0.u.$($field).+ = value;
        }
    )*};
}

impl HvmAttr<'_> {
    /// Which attribute it is (`KVM_XEN_ATTR_TYPE_*`).
    pub(crate) fn kind(&self) -> u32 {
        self.0.type_.into()
    }

    fields! {
        /// Not 0 for a 64-bit guest.
        long_mode, set_long_mode, long_mode: u8;
        /// The guest frame of `shared_info`, or [`INVALID_GFN`].
        shared_info_gfn, set_shared_info_gfn, shared_info.gfn: u64;
        /// The VMM's address of `shared_info`, or 0.
        shared_info_hva, set_shared_info_hva, shared_info.hva: u64;
        /// The vector of the upcall, or 0.
        vector, set_vector, vector: u8;
        /// The version of Xen.
        xen_version, set_xen_version, xen_version: u32;
        /// Not 0 when the guest is told that its runstate is being written.
        runstate_update_flag, set_runstate_update_flag, runstate_update_flag: u8;
    }

    /// What to do with a sending port.
    pub(crate) fn evtchn(&self) -> EvtchnAttr {
        // SAFETY: The structure is initialized as a whole, and any bytes are a value of the field.
        let evtchn = unsafe { self.0.u.evtchn };
        // SAFETY: As above.
        let port = unsafe { evtchn.deliver.port };
        // SAFETY: As above.
        let eventfd = unsafe { evtchn.deliver.eventfd };
        EvtchnAttr {
            send_port: evtchn.send_port,
            kind: evtchn.type_,
            flags: evtchn.flags,
            port: port.port,
            vcpu: port.vcpu,
            priority: port.priority,
            fd: eventfd.fd,
        }
    }
}

/// `struct kvm_xen_vcpu_attr`: an attribute of a vCPU.
pub(crate) struct VcpuAttr<'a>(pub(crate) &'a mut bindings::kvm_xen_vcpu_attr);

/// `KVM_XEN_VCPU_ATTR_TYPE_TIMER`, as the user wrote it.
#[derive(Clone, Copy)]
pub(crate) struct TimerAttr {
    /// The port of the timer's event, or 0 for no timer.
    pub(crate) port: u32,
    /// The priority of the event.
    pub(crate) priority: u32,
    /// When it fires, in nanoseconds of system time, or 0.
    pub(crate) expires: u64,
}

impl VcpuAttr<'_> {
    /// Which attribute it is (`KVM_XEN_VCPU_ATTR_TYPE_*`).
    pub(crate) fn kind(&self) -> u32 {
        self.0.type_.into()
    }

    fields! {
        /// A guest-physical address, or [`INVALID_GPA`].
        gpa, set_gpa, gpa: u64;
        /// An address of the VMM's, or 0.
        hva, set_hva, hva: u64;
        /// A runstate's state.
        runstate_state, set_runstate_state, runstate.state: u64;
        /// The number that the guest knows the vCPU by.
        vcpu_id, set_vcpu_id, vcpu_id: u32;
        /// The vector of the upcall, or 0.
        vector, set_vector, vector: u8;
    }

    /// The accounts of a runstate, with the state `state`.
    pub(crate) fn runstate(&self, state: State) -> Runstate {
        // SAFETY: The structure is initialized as a whole, and any bytes are a value of the field.
        let user = unsafe { self.0.u.runstate };
        Runstate {
            state,
            entry_time: user.state_entry_time,
            times: [
                user.time_running,
                user.time_runnable,
                user.time_blocked,
                user.time_offline,
            ],
        }
    }

    /// Returns a runstate to the user.
    pub(crate) fn set_runstate(&mut self, runstate: &Runstate) {
        let [time_running, time_runnable, time_blocked, time_offline] = runstate.times;
        self.0.u.runstate = bindings::kvm_xen_vcpu_attr__bindgen_ty_1__bindgen_ty_1 {
            state: runstate.state as u64,
            state_entry_time: runstate.entry_time,
            time_running,
            time_runnable,
            time_blocked,
            time_offline,
        };
    }

    /// A timer.
    pub(crate) fn timer(&self) -> TimerAttr {
        // SAFETY: The structure is initialized as a whole, and any bytes are a value of the field.
        let user = unsafe { self.0.u.timer };
        TimerAttr {
            port: user.port,
            priority: user.priority,
            expires: user.expires_ns,
        }
    }

    /// Returns a timer to the user.
    pub(crate) fn set_timer(&mut self, port: u32, priority: u32, expires: u64) {
        self.0.u.timer = bindings::kvm_xen_vcpu_attr__bindgen_ty_1__bindgen_ty_2 {
            port,
            priority,
            expires_ns: expires,
        };
    }
}
