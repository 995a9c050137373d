// SPDX-License-Identifier: GPL-2.0
#![doc = include_str!("../README.md")]
#![cfg(target_arch = "x86_64")]
#![deny(missing_docs)]
#![deny(unsafe_op_in_unsafe_fn)]

mod config;
mod evtchn;
mod hypercall;
pub mod ioctls;
mod runstate;
mod vcpu;
mod vcpu_attr;
mod vm;
mod vm_attr;

pub use config::intercept_hypercalls;
pub use evtchn::{
    xen_evtchn, xen_evtchn_route, XenEvtchn, XenEvtchnTarget, EVTCHNSTAT_INTERDOMAIN,
    EVTCHNSTAT_IPI, PRIORITY_2LEVEL,
};
pub use hypercall::XenHypercall;
pub use kvm_ioctls::Error;
pub use runstate::{XenRunstate, XenRunstateAdjust, XenRunstateData};
pub use vcpu::XenVcpu;
pub use vcpu_attr::{XenTimer, XenVcpuAttr, XenVcpuAttrType};
pub use vm::XenVm;
pub use vm_attr::{XenVmAttr, XenVmAttrType};

/// What the methods of this crate return: kvm-ioctls' error is a number of `errno`.
pub type Result<T> = std::result::Result<T, Error>;

/// `KVM_XEN_INVALID_GFN`: the frame number that stands for no page.
pub const INVALID_GFN: u64 = u64::MAX;

/// `KVM_XEN_INVALID_GPA`: the guest physical address that stands for none.
pub const INVALID_GPA: u64 = u64::MAX;

/// An address or a number, where [`u64::MAX`] is none, as KVM has both.
fn encode_place(place: Option<u64>) -> u64 {
    place.unwrap_or(u64::MAX)
}

/// The reverse.
fn decode_place(word: u64) -> Option<u64> {
    (word != u64::MAX).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_place_is_all_ones() {
        assert_eq!(encode_place(None), INVALID_GFN);
        assert_eq!(encode_place(Some(0)), 0);
        assert_eq!(decode_place(INVALID_GPA), None);
        assert_eq!(decode_place(0x1000), Some(0x1000));
    }
}
