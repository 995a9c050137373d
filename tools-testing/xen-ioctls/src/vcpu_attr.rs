// SPDX-License-Identifier: GPL-2.0
//! Attributes of a vCPU, by type.

use kvm_bindings::{
    kvm_xen_vcpu_attr, KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADDR,
    KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADJUST, KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_CURRENT,
    KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_DATA, KVM_XEN_VCPU_ATTR_TYPE_TIMER,
    KVM_XEN_VCPU_ATTR_TYPE_UPCALL_VECTOR, KVM_XEN_VCPU_ATTR_TYPE_VCPU_ID,
    KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO, KVM_XEN_VCPU_ATTR_TYPE_VCPU_TIME_INFO,
};

use crate::{
    decode_place, encode_place, Result, XenRunstate, XenRunstateAdjust, XenRunstateData,
    PRIORITY_2LEVEL,
};

/// An attribute of a vCPU and its value.
///
/// The address of `vcpu_info` in the VMM is not among them, as it is not safe to set: see
/// [`XenVcpu::set_xen_vcpu_info_hva`](crate::XenVcpu::set_xen_vcpu_info_hva).
///
/// Source: api.rst, 4.128.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XenVcpuAttr {
    /// `KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO`: guest physical address of `vcpu_info`, 64 bytes that lie
    /// in one page; `None` for none. It has to be set even where it is that in `shared_info`. Its
    /// dirtying is not logged.
    ///
    /// `ENXIO` if it is not a multiple of 4, `EINVAL` if it crosses the page's end, `EFAULT` if there
    /// is no memory that can be written to; KVM remembers the address all the same.
    VcpuInfo(Option<u64>),
    /// `KVM_XEN_VCPU_ATTR_TYPE_VCPU_TIME_INFO`: guest physical address of another clock, a `struct
    /// pvclock_vcpu_time_info` of 32 bytes that lie in one page; `None` for none. `EINVAL` and
    /// `EFAULT` as of `VcpuInfo`.
    VcpuTimeInfo(Option<u64>),
    /// `KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADDR`: guest physical address of `vcpu_runstate_info`, 44
    /// bytes of a 32-bit guest, 48 of a 64-bit one, in no more than two pages; `None` for none.
    /// `EOPNOTSUPP` without `KVM_XEN_HVM_CONFIG_RUNSTATE`, as of all runstates.
    RunstateAddr(Option<u64>),
    /// `KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_CURRENT`: enters this state now. `Running` and `Runnable`
    /// KVM enters itself.
    RunstateCurrent(XenRunstate),
    /// `KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_DATA`: the whole runstate, as when a VM is restored.
    RunstateData(XenRunstateData),
    /// `KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADJUST`: adds to the runstate. It can't be read.
    RunstateAdjust(XenRunstateAdjust),
    /// `KVM_XEN_VCPU_ATTR_TYPE_VCPU_ID`: the number that the guest knows the vCPU by, with which it
    /// sets its timer. `EINVAL` from `KVM_MAX_VCPUS` on. Kernels from 7.3 on read as `u32::MAX`
    /// where none was set, which can't be set; those before, as the vCPU's index.
    VcpuId(u32),
    /// `KVM_XEN_VCPU_ATTR_TYPE_TIMER`: the port of `VIRQ_TIMER` and when it is due.
    Timer(XenTimer),
    /// `KVM_XEN_VCPU_ATTR_TYPE_UPCALL_VECTOR`: the vector by which the vCPU's local APIC interrupts
    /// it when it has events, in place of [`XenVmAttr::UpcallVector`](crate::XenVmAttr); 0 for
    /// none. `EINVAL` from 1 to 15.
    UpcallVector(u8),
}

/// A vCPU's singleshot timer, with which KVM serves `VCPUOP_set_singleshot_timer` and
/// `HYPERVISOR_set_timer_op`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct XenTimer {
    /// The port that becomes pending; 0 leaves timers to the VMM.
    pub port: u32,
    /// When, in nanoseconds of the guest's clock (`KVM_GET_CLOCK`), at once if that is past; 0
    /// where it is not set.
    pub expires_ns: u64,
}

/// An attribute of a vCPU that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum XenVcpuAttrType {
    /// Of [`XenVcpuAttr::VcpuInfo`]. It is `None`, too, where it was set by its address in the VMM.
    VcpuInfo,
    /// Of [`XenVcpuAttr::VcpuTimeInfo`].
    VcpuTimeInfo,
    /// Of [`XenVcpuAttr::RunstateAddr`]. KVM says `ENOENT` where there is none.
    RunstateAddr,
    /// Of [`XenVcpuAttr::RunstateCurrent`].
    RunstateCurrent,
    /// Of [`XenVcpuAttr::RunstateData`].
    RunstateData,
    /// Of [`XenVcpuAttr::VcpuId`].
    VcpuId,
    /// Of [`XenVcpuAttr::Timer`]. A timer that is past is delivered first.
    Timer,
    /// Of [`XenVcpuAttr::UpcallVector`].
    UpcallVector,
}

impl XenVcpuAttrType {
    /// All of them, in an order in which a vCPU that is restored can be given their values.
    pub const ALL: [Self; 8] = [
        Self::VcpuInfo,
        Self::VcpuTimeInfo,
        Self::RunstateAddr,
        Self::RunstateCurrent,
        Self::RunstateData,
        Self::VcpuId,
        Self::UpcallVector,
        // What is due goes to where the others say.
        Self::Timer,
    ];

    /// As KVM asks for it.
    pub(crate) fn encode(self) -> kvm_xen_vcpu_attr {
        attr(match self {
            Self::VcpuInfo => KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO,
            Self::VcpuTimeInfo => KVM_XEN_VCPU_ATTR_TYPE_VCPU_TIME_INFO,
            Self::RunstateAddr => KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADDR,
            Self::RunstateCurrent => KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_CURRENT,
            Self::RunstateData => KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_DATA,
            Self::VcpuId => KVM_XEN_VCPU_ATTR_TYPE_VCPU_ID,
            Self::Timer => KVM_XEN_VCPU_ATTR_TYPE_TIMER,
            Self::UpcallVector => KVM_XEN_VCPU_ATTR_TYPE_UPCALL_VECTOR,
        })
    }

    /// What KVM has answered; `EPROTO` if it makes no sense.
    pub(crate) fn decode(self, attr: &kvm_xen_vcpu_attr) -> Result<XenVcpuAttr> {
        // SAFETY: `attr` was made of bytes, all of them initialized, and all members are integers.
        unsafe {
            Ok(match self {
                Self::VcpuInfo => XenVcpuAttr::VcpuInfo(decode_place(attr.u.gpa)),
                Self::VcpuTimeInfo => XenVcpuAttr::VcpuTimeInfo(decode_place(attr.u.gpa)),
                Self::RunstateAddr => XenVcpuAttr::RunstateAddr(decode_place(attr.u.gpa)),
                Self::RunstateCurrent => {
                    XenVcpuAttr::RunstateCurrent(XenRunstate::decode(attr.u.runstate.state)?)
                }
                Self::RunstateData => {
                    XenVcpuAttr::RunstateData(XenRunstateData::decode(&attr.u.runstate)?)
                }
                Self::VcpuId => XenVcpuAttr::VcpuId(attr.u.vcpu_id),
                Self::Timer => XenVcpuAttr::Timer(XenTimer {
                    port: attr.u.timer.port,
                    expires_ns: attr.u.timer.expires_ns,
                }),
                Self::UpcallVector => XenVcpuAttr::UpcallVector(attr.u.vector),
            })
        }
    }
}

impl XenVcpuAttr {
    /// As KVM takes it.
    pub(crate) fn encode(&self) -> kvm_xen_vcpu_attr {
        let place = |kind: XenVcpuAttrType, gpa| {
            let mut attr = kind.encode();
            attr.u.gpa = encode_place(gpa);
            attr
        };
        let runstate = |kind, runstate| {
            let mut attr = attr(kind);
            attr.u.runstate = runstate;
            attr
        };
        match *self {
            Self::VcpuInfo(gpa) => place(XenVcpuAttrType::VcpuInfo, gpa),
            Self::VcpuTimeInfo(gpa) => place(XenVcpuAttrType::VcpuTimeInfo, gpa),
            Self::RunstateAddr(gpa) => place(XenVcpuAttrType::RunstateAddr, gpa),
            Self::RunstateCurrent(state) => {
                runstate(KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_CURRENT, state.encode())
            }
            Self::RunstateData(data) => {
                runstate(KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_DATA, data.encode())
            }
            Self::RunstateAdjust(adjust) => {
                runstate(KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADJUST, adjust.encode())
            }
            Self::VcpuId(id) => {
                let mut attr = XenVcpuAttrType::VcpuId.encode();
                attr.u.vcpu_id = id;
                attr
            }
            Self::Timer(XenTimer { port, expires_ns }) => {
                let mut attr = XenVcpuAttrType::Timer.encode();
                attr.u.timer.port = port;
                attr.u.timer.priority = PRIORITY_2LEVEL;
                attr.u.timer.expires_ns = expires_ns;
                attr
            }
            Self::UpcallVector(vector) => {
                let mut attr = XenVcpuAttrType::UpcallVector.encode();
                attr.u.vector = vector;
                attr
            }
        }
    }
}

/// An attribute of this type, all zero.
pub(crate) fn attr(kind: u32) -> kvm_xen_vcpu_attr {
    kvm_xen_vcpu_attr {
        type_: kind as u16,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::INVALID_GPA;
    use std::mem::offset_of;

    const TIMER: XenTimer = XenTimer {
        port: 5,
        expires_ns: 0x1_2345_6789,
    };

    fn words(attr: XenVcpuAttr) -> (u16, [u64; 8]) {
        let attr = attr.encode();
        // SAFETY: `pad` covers the whole union, and any bytes are valid in it.
        (attr.type_, unsafe { attr.u.pad })
    }

    fn first(attr: XenVcpuAttr) -> (u16, u64) {
        let (kind, words) = words(attr);
        assert_eq!(words[1..], [0; 7]);
        (kind, words[0])
    }

    #[test]
    fn the_structure_is_the_kernels() {
        assert_eq!(size_of::<kvm_xen_vcpu_attr>(), 72);
        assert_eq!(offset_of!(kvm_xen_vcpu_attr, u), 8);
    }

    #[test]
    fn values_are_where_kvm_looks() {
        assert_eq!(first(XenVcpuAttr::VcpuInfo(Some(0x1040))), (0, 0x1040));
        assert_eq!(first(XenVcpuAttr::VcpuInfo(None)), (0, INVALID_GPA));
        assert_eq!(first(XenVcpuAttr::VcpuTimeInfo(Some(64))), (1, 64));
        assert_eq!(first(XenVcpuAttr::RunstateAddr(Some(4095))), (2, 4095));
        let blocked = XenVcpuAttr::RunstateCurrent(XenRunstate::Blocked);
        assert_eq!(first(blocked), (3, 2));
        assert_eq!(first(XenVcpuAttr::VcpuId(9)), (6, 9));
        assert_eq!(first(XenVcpuAttr::UpcallVector(0x20)), (8, 0x20));
        let (kind, timer) = words(XenVcpuAttr::Timer(TIMER));
        assert_eq!(kind, 7);
        assert_eq!(timer[..3], [(0xffff_ffff << 32) | 5, 0x1_2345_6789, 0]);
    }

    #[test]
    fn runstates_are_where_kvm_looks() {
        let data = XenRunstateData::new(XenRunstate::Runnable, [10, 20, 30, 40]);
        let (kind, runstate) = words(XenVcpuAttr::RunstateData(data));
        assert_eq!((kind, runstate), (4, [1, 100, 10, 20, 30, 40, 0, 0]));
        let (kind, runstate) = words(XenVcpuAttr::RunstateAdjust(XenRunstateAdjust {
            state: None,
            times_ns: [1, 2, 3, 4],
        }));
        assert_eq!((kind, runstate), (5, [u64::MAX, 10, 1, 2, 3, 4, 0, 0]));
    }

    #[test]
    fn what_is_set_is_read() {
        for attr in [
            XenVcpuAttr::VcpuInfo(Some(0x1040)),
            XenVcpuAttr::VcpuTimeInfo(None),
            XenVcpuAttr::RunstateAddr(Some(1)),
            XenVcpuAttr::RunstateCurrent(XenRunstate::Offline),
            XenVcpuAttr::RunstateData(XenRunstateData::new(XenRunstate::Running, [4, 3, 2, 1])),
            XenVcpuAttr::VcpuId(3),
            XenVcpuAttr::Timer(TIMER),
            XenVcpuAttr::UpcallVector(0x40),
        ] {
            let encoded = attr.encode();
            let kind = XenVcpuAttrType::ALL
                .into_iter()
                .find(|kind| kind.encode().type_ == encoded.type_)
                .unwrap();
            assert_eq!(kind.decode(&encoded), Ok(attr));
        }
    }
}
