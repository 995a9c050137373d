// SPDX-License-Identifier: GPL-2.0
//! Attributes of a VM, by type.

use kvm_bindings::{
    kvm_xen_hvm_attr, KVM_XEN_ATTR_TYPE_EVTCHN, KVM_XEN_ATTR_TYPE_LONG_MODE,
    KVM_XEN_ATTR_TYPE_RUNSTATE_UPDATE_FLAG, KVM_XEN_ATTR_TYPE_SHARED_INFO,
    KVM_XEN_ATTR_TYPE_UPCALL_VECTOR, KVM_XEN_ATTR_TYPE_XEN_VERSION,
};

use crate::{decode_place, encode_place, Result, XenEvtchn};

/// An attribute of a VM and its value.
///
/// The address of `shared_info` in the VMM is not among them, as it is not safe to set: see
/// [`XenVm::set_xen_shared_info_hva`](crate::XenVm::set_xen_shared_info_hva).
///
/// Source: api.rst, 4.126.
#[derive(Clone, Copy, Debug)]
pub enum XenVmAttr<'a> {
    /// `KVM_XEN_ATTR_TYPE_LONG_MODE`: whether the guest has 64-bit words in `shared_info`, and with
    /// them 4096 ports rather than 1024. At first it has not. KVM sets it, too, when the guest
    /// writes its hypercall page, to the mode that this is done in.
    LongMode(bool),
    /// `KVM_XEN_ATTR_TYPE_SHARED_INFO`: the guest's frame (its address over 4096) that has
    /// `shared_info`; `None` for no page. KVM writes the wall clock to it. Its dirtying is not
    /// logged.
    ///
    /// Set `LongMode` first, as the wall clock's place depends on it. `EFAULT` if there is no memory
    /// that can be written to; KVM remembers the frame all the same.
    SharedInfo(Option<u64>),
    /// `KVM_XEN_ATTR_TYPE_UPCALL_VECTOR`: the vector by which a vCPU is interrupted when it has
    /// events, not by its local APIC; 0 for none. `EINVAL` from 1 to 15.
    UpcallVector(u8),
    /// `KVM_XEN_ATTR_TYPE_EVTCHN`: what becomes of events that the guest sends. It can't be read.
    Evtchn(XenEvtchn<'a>),
    /// `KVM_XEN_ATTR_TYPE_XEN_VERSION`: what `XENVER_version` returns to the guest, the major
    /// version in the upper 16 bits, the minor in the lower; 0 leaves the answer to the VMM.
    XenVersion(u32),
    /// `KVM_XEN_ATTR_TYPE_RUNSTATE_UPDATE_FLAG`: whether KVM marks runstates in the guest's memory
    /// by `XEN_RUNSTATE_UPDATE` while it writes them, which a guest asks for by
    /// `VMASST_TYPE_runstate_update_flag`. `EOPNOTSUPP` without `KVM_XEN_HVM_CONFIG_RUNSTATE`.
    RunstateUpdateFlag(bool),
}

/// An attribute of a VM that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum XenVmAttrType {
    /// Of [`XenVmAttr::LongMode`].
    LongMode,
    /// Of [`XenVmAttr::SharedInfo`]. It is `None`, too, where the page was set by its address in
    /// the VMM.
    SharedInfo,
    /// Of [`XenVmAttr::UpcallVector`].
    UpcallVector,
    /// Of [`XenVmAttr::XenVersion`].
    XenVersion,
    /// Of [`XenVmAttr::RunstateUpdateFlag`].
    RunstateUpdateFlag,
}

impl XenVmAttrType {
    /// All of them, in an order in which a VM that is restored can be given their values.
    pub const ALL: [Self; 5] = [
        Self::LongMode,
        Self::SharedInfo,
        Self::UpcallVector,
        Self::XenVersion,
        Self::RunstateUpdateFlag,
    ];

    /// As KVM asks for it.
    pub(crate) fn encode(self) -> kvm_xen_hvm_attr {
        attr(match self {
            Self::LongMode => KVM_XEN_ATTR_TYPE_LONG_MODE,
            Self::SharedInfo => KVM_XEN_ATTR_TYPE_SHARED_INFO,
            Self::UpcallVector => KVM_XEN_ATTR_TYPE_UPCALL_VECTOR,
            Self::XenVersion => KVM_XEN_ATTR_TYPE_XEN_VERSION,
            Self::RunstateUpdateFlag => KVM_XEN_ATTR_TYPE_RUNSTATE_UPDATE_FLAG,
        })
    }

    /// What KVM has answered.
    pub(crate) fn decode(self, attr: &kvm_xen_hvm_attr) -> XenVmAttr<'static> {
        // SAFETY: `attr` was made of bytes, all of them initialized, and all members are integers.
        unsafe {
            match self {
                Self::LongMode => XenVmAttr::LongMode(attr.u.long_mode != 0),
                Self::SharedInfo => XenVmAttr::SharedInfo(decode_place(attr.u.shared_info.gfn)),
                Self::UpcallVector => XenVmAttr::UpcallVector(attr.u.vector),
                Self::XenVersion => XenVmAttr::XenVersion(attr.u.xen_version),
                Self::RunstateUpdateFlag => {
                    XenVmAttr::RunstateUpdateFlag(attr.u.runstate_update_flag != 0)
                }
            }
        }
    }
}

impl XenVmAttr<'_> {
    /// As KVM takes it.
    pub(crate) fn encode(&self) -> Result<kvm_xen_hvm_attr> {
        Ok(match *self {
            Self::LongMode(on) => {
                let mut attr = XenVmAttrType::LongMode.encode();
                attr.u.long_mode = on.into();
                attr
            }
            Self::SharedInfo(gfn) => {
                let mut attr = XenVmAttrType::SharedInfo.encode();
                attr.u.shared_info.gfn = encode_place(gfn);
                attr
            }
            Self::UpcallVector(vector) => {
                let mut attr = XenVmAttrType::UpcallVector.encode();
                attr.u.vector = vector;
                attr
            }
            Self::Evtchn(evtchn) => {
                let mut attr = attr(KVM_XEN_ATTR_TYPE_EVTCHN);
                attr.u.evtchn = evtchn.encode()?;
                attr
            }
            Self::XenVersion(version) => {
                let mut attr = XenVmAttrType::XenVersion.encode();
                attr.u.xen_version = version;
                attr
            }
            Self::RunstateUpdateFlag(on) => {
                let mut attr = XenVmAttrType::RunstateUpdateFlag.encode();
                attr.u.runstate_update_flag = on.into();
                attr
            }
        })
    }
}

/// An attribute of this type, all zero.
pub(crate) fn attr(kind: u32) -> kvm_xen_hvm_attr {
    kvm_xen_hvm_attr {
        type_: kind as u16,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{XenEvtchnTarget, INVALID_GFN};
    use std::mem::offset_of;

    fn words(attr: XenVmAttr) -> (u16, [u64; 8]) {
        let attr = attr.encode().unwrap();
        // SAFETY: `pad` covers the whole union, and any bytes are valid in it.
        (attr.type_, unsafe { attr.u.pad })
    }

    fn first(attr: XenVmAttr) -> (u16, u64) {
        let (kind, words) = words(attr);
        assert_eq!(words[1..], [0; 7]);
        (kind, words[0])
    }

    #[test]
    fn the_structure_is_the_kernels() {
        assert_eq!(size_of::<kvm_xen_hvm_attr>(), 72);
        assert_eq!(offset_of!(kvm_xen_hvm_attr, u), 8);
    }

    #[test]
    fn values_are_where_kvm_looks() {
        assert_eq!(first(XenVmAttr::LongMode(true)), (0, 1));
        assert_eq!(first(XenVmAttr::SharedInfo(Some(0x12345))), (1, 0x12345));
        assert_eq!(first(XenVmAttr::SharedInfo(None)), (1, INVALID_GFN));
        assert_eq!(first(XenVmAttr::UpcallVector(0xf3)), (2, 0xf3));
        assert_eq!(first(XenVmAttr::XenVersion(0x4_0013)), (4, 0x4_0013));
        assert_eq!(first(XenVmAttr::RunstateUpdateFlag(true)), (5, 1));
    }

    #[test]
    fn ports_are_where_kvm_looks() {
        let target = XenEvtchnTarget::Interdomain { port: 8, vcpu: 3 };
        let (kind, words) = words(XenVmAttr::Evtchn(XenEvtchn::Update {
            send_port: 7,
            target,
        }));
        assert_eq!(kind, 3);
        let pair = |low: u64, high: u64| (high << 32) | low;
        let expected = [pair(7, 2), pair(2, 8), pair(3, 0xffff_ffff)];
        assert_eq!(words[..3], expected);
    }

    #[test]
    fn what_is_set_is_read() {
        for attr in [
            XenVmAttr::LongMode(true),
            XenVmAttr::LongMode(false),
            XenVmAttr::SharedInfo(Some(7)),
            XenVmAttr::SharedInfo(None),
            XenVmAttr::UpcallVector(0x30),
            XenVmAttr::XenVersion(0x4_0014),
            XenVmAttr::RunstateUpdateFlag(true),
        ] {
            let encoded = attr.encode().unwrap();
            let kind = XenVmAttrType::ALL
                .into_iter()
                .find(|kind| kind.encode().type_ == encoded.type_)
                .unwrap();
            assert_eq!(format!("{:?}", kind.decode(&encoded)), format!("{attr:?}"));
        }
    }
}
