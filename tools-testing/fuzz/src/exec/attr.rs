// SPDX-License-Identifier: GPL-2.0
//! Attributes, set and read.

use harness::attr::Payload;
use harness::ioctl;
use kvm_bindings::*;

use super::Run;
use crate::observe::{runstate, Clock};
use crate::op::*;
use crate::trace::Kind;

/// What attributes are filled with before they are read, to see what is written.
const BACKGROUND: u64 = 0xa5a5_a5a5_a5a5_a5a5;

fn first(word: u64) -> Payload {
    let mut payload = Payload::default();
    payload[0] = word;
    payload
}

impl Run<'_> {
    fn hva(&self, hva: Hva) -> u64 {
        match hva {
            Hva::Area(page, offset) => self.area(page, offset),
            Hva::Raw(address) => address,
        }
    }

    fn places(&mut self, clock: Clock, place: Option<Place>, offset: usize) {
        if let Some(place) = place {
            self.footprint.clock(clock, place, offset);
        }
    }

    pub(super) fn set_vm(&mut self, attr: VmAttr) {
        let whole = |place: Option<Place>| {
            place.map(|place| Place {
                page: place.page,
                offset: 0,
            })
        };
        match attr {
            VmAttr::SharedInfo(gpa) => self.places(Clock::Wall, whole(gpa.in_area()), 0),
            VmAttr::SharedInfoHva(hva) => self.places(Clock::Wall, whole(hva.in_area()), 0),
            _ => {}
        }
        let (kind, word) = match attr {
            VmAttr::LongMode(value) => (KVM_XEN_ATTR_TYPE_LONG_MODE, value.into()),
            VmAttr::SharedInfo(gpa) => (KVM_XEN_ATTR_TYPE_SHARED_INFO, gpa.address() >> 12),
            VmAttr::SharedInfoGfn(gfn) => (KVM_XEN_ATTR_TYPE_SHARED_INFO, gfn),
            VmAttr::SharedInfoHva(hva) => (KVM_XEN_ATTR_TYPE_SHARED_INFO_HVA, self.hva(hva)),
            VmAttr::UpcallVector(vector) => (KVM_XEN_ATTR_TYPE_UPCALL_VECTOR, vector.into()),
            VmAttr::XenVersion(version) => (KVM_XEN_ATTR_TYPE_XEN_VERSION, version.into()),
            VmAttr::RunstateUpdateFlag(flag) => {
                (KVM_XEN_ATTR_TYPE_RUNSTATE_UPDATE_FLAG, flag.into())
            }
            VmAttr::Other(kind, word) => (kind.into(), word),
        };
        let mut attr = kvm_xen_hvm_attr {
            type_: kind as u16,
            ..Default::default()
        };
        attr.u.pad = first(word);
        let result = ioctl::xen_hvm_set_attr(&self.vm, &attr);
        self.result(result.map(|()| 0));
    }

    pub(super) fn get_vm(&mut self, kind: u16) {
        let mut attr = kvm_xen_hvm_attr {
            type_: kind,
            ..Default::default()
        };
        attr.u.pad = [BACKGROUND; 8];
        let result = ioctl::xen_hvm_get_attr(&self.vm, &mut attr);
        self.result(result.map(|()| 0));
        // SAFETY: `pad` covers the whole union, and any bytes are valid in it.
        self.words(unsafe { attr.u.pad });
    }

    fn words(&mut self, words: Payload) {
        for (at, word) in words.into_iter().enumerate() {
            if word != BACKGROUND {
                self.see(Kind::Attr, at as u32, word);
            }
        }
    }

    pub(super) fn set_vcpu(&mut self, index: u8, attr: VcpuAttr) {
        let Some(vcpu) = self.vcpu(index) else {
            return;
        };
        const TIME_IN_VCPU_INFO: usize = 32;
        match attr {
            VcpuAttr::VcpuInfo(gpa) => {
                self.places(Clock::Pvclock, gpa.in_area(), TIME_IN_VCPU_INFO);
            }
            VcpuAttr::VcpuInfoHva(hva) => {
                self.places(Clock::Pvclock, hva.in_area(), TIME_IN_VCPU_INFO);
            }
            VcpuAttr::TimeInfo(gpa) => self.places(Clock::Pvclock, gpa.in_area(), 0),
            VcpuAttr::RunstateAddr(gpa) => self.places(Clock::Runstate, gpa.in_area(), 0),
            VcpuAttr::Timer(_, _, expires) => self.expiries.push(expires),
            _ => {}
        }
        let six = |words: [u64; 6]| {
            let mut payload = Payload::default();
            payload[..6].copy_from_slice(&words);
            payload
        };
        let (kind, payload) = match attr {
            VcpuAttr::VcpuInfo(gpa) => (KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO, first(gpa.address())),
            VcpuAttr::VcpuInfoHva(hva) => {
                (KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO_HVA, first(self.hva(hva)))
            }
            VcpuAttr::TimeInfo(gpa) => {
                (KVM_XEN_VCPU_ATTR_TYPE_VCPU_TIME_INFO, first(gpa.address()))
            }
            VcpuAttr::RunstateAddr(gpa) => {
                (KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADDR, first(gpa.address()))
            }
            VcpuAttr::RunstateCurrent(state) => {
                (KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_CURRENT, first(state))
            }
            VcpuAttr::RunstateData(words) => (KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_DATA, six(words)),
            VcpuAttr::RunstateAdjust(words) => (KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADJUST, six(words)),
            VcpuAttr::VcpuId(id) => (KVM_XEN_VCPU_ATTR_TYPE_VCPU_ID, first(id.into())),
            VcpuAttr::Timer(port, priority, expires) => {
                let mut payload = first(u64::from(port) | (u64::from(priority) << 32));
                payload[1] = expires;
                (KVM_XEN_VCPU_ATTR_TYPE_TIMER, payload)
            }
            VcpuAttr::UpcallVector(vector) => {
                (KVM_XEN_VCPU_ATTR_TYPE_UPCALL_VECTOR, first(vector.into()))
            }
            VcpuAttr::Other(kind, word) => (kind.into(), first(word)),
        };
        let mut attr = kvm_xen_vcpu_attr {
            type_: kind as u16,
            ..Default::default()
        };
        attr.u.pad = payload;
        let result = ioctl::xen_vcpu_set_attr(&self.vcpus[vcpu].fd, &attr);
        self.result(result.map(|()| 0));
    }

    pub(super) fn get_vcpu(&mut self, index: u8, kind: u16) {
        let Some(vcpu) = self.vcpu(index) else {
            return;
        };
        let mut attr = kvm_xen_vcpu_attr {
            type_: kind,
            ..Default::default()
        };
        attr.u.pad = [BACKGROUND; 8];
        let result = ioctl::xen_vcpu_get_attr(&self.vcpus[vcpu].fd, &mut attr);
        self.result(result.map(|()| 0));
        // SAFETY: `pad` covers the whole union, and any bytes are valid in it.
        let mut words = unsafe { attr.u.pad };
        if result.is_ok() {
            match u32::from(kind) {
                KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_DATA => {
                    let [state, entry, times @ .., _, _] = words;
                    self.see(Kind::Runstate, 0, runstate(state as u32, entry, times));
                    words[..6].fill(BACKGROUND);
                }
                KVM_XEN_VCPU_ATTR_TYPE_TIMER => {
                    let expires = match words[1] {
                        expires if expires == 0 || self.expiries.contains(&expires) => expires,
                        _ => 1,
                    };
                    self.see(Kind::Expires, 0, expires);
                    words[1] = BACKGROUND;
                }
                _ => {}
            }
        }
        self.words(words);
    }
}
