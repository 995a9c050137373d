// SPDX-License-Identifier: GPL-2.0
//! Values as the harness of the selftests has them.

use harness::abi::hypercall::{EVENT_CHANNEL_OP, XEN_VERSION};
use harness::abi::sched::{SCHED_OP, SET_TIMER_OP, VCPU_OP};

use crate::op::*;

/// A value, or a call that sets it.
pub trait Value {
    /// Its source.
    fn source(&self) -> String;
}

/// A number.
pub fn hex(value: u64) -> String {
    match value {
        0..=9 => value.to_string(),
        _ => format!("{value:#x}"),
    }
}

/// A hypercall's number.
pub fn call_name(number: u64) -> String {
    match number {
        EVENT_CHANNEL_OP => "EVENT_CHANNEL_OP".into(),
        XEN_VERSION => "XEN_VERSION".into(),
        SCHED_OP => "SCHED_OP".into(),
        VCPU_OP => "VCPU_OP".into(),
        SET_TIMER_OP => "SET_TIMER_OP".into(),
        _ => hex(number),
    }
}

impl Value for Gpa {
    fn source(&self) -> String {
        match self {
            Gpa::Area(page, offset) => format!("Area::gpa({page}, {offset:#x})"),
            Gpa::Elsewhere(page, offset) => {
                format!(
                    "OTHER_GPA + {:#x}",
                    u32::from(*page) * 4096 + u32::from(*offset)
                )
            }
            Gpa::Ram(offset) => format!("{offset:#x}"),
            Gpa::NoMemory => "NO_MEMORY_GPA".into(),
            Gpa::Invalid => "INVALID_GPA".into(),
            Gpa::Raw(address) => hex(*address),
        }
    }
}

impl Value for Hva {
    fn source(&self) -> String {
        match self {
            Hva::Area(page, offset) => format!("area.hva({page}, {offset:#x})"),
            Hva::Raw(address) => hex(*address),
        }
    }
}

impl Value for VmAttr {
    fn source(&self) -> String {
        match self {
            VmAttr::LongMode(value) => format!("set_long_mode({value})"),
            VmAttr::SharedInfo(gpa) => format!("set_shared_info(({}) >> 12)", gpa.source()),
            VmAttr::SharedInfoGfn(gfn) => format!("set_shared_info({})", hex(*gfn)),
            VmAttr::SharedInfoHva(hva) => format!("set_shared_info_hva({})", hva.source()),
            VmAttr::UpcallVector(vector) => format!("set_upcall_vector({vector:#x})"),
            VmAttr::XenVersion(version) => format!("set_xen_version({version:#x})"),
            VmAttr::RunstateUpdateFlag(flag) => format!("set_runstate_update_flag({flag})"),
            VmAttr::Other(kind, word) => {
                format!("set_attr({kind}, [{}, 0, 0, 0, 0, 0, 0, 0])", hex(*word))
            }
        }
    }
}

/// A call that sets an attribute of a vCPU that the harness has no name for.
pub fn set_attr(kind: &str, words: &[String]) -> String {
    let mut all = words.to_vec();
    all.resize(8, "0".into());
    format!("set_attr({kind}, [{}])", all.join(", "))
}

/// The first two words of a timer's attribute.
pub fn timer(port: u32, priority: u32, expires: String) -> String {
    let first = hex(u64::from(port) | (u64::from(priority) << 32));
    set_attr("KVM_XEN_VCPU_ATTR_TYPE_TIMER", &[first, expires])
}

impl Value for VcpuAttr {
    fn source(&self) -> String {
        let numbers = |kind: &str, words: &[u64]| {
            let words: Vec<_> = words.iter().map(|word| hex(*word)).collect();
            set_attr(kind, &words)
        };
        let place = |kind: &str, gpa: &Gpa| set_attr(kind, &[gpa.source()]);
        match self {
            VcpuAttr::VcpuInfo(gpa) => format!("set_vcpu_info({})", gpa.source()),
            VcpuAttr::VcpuInfoHva(hva) => format!("set_vcpu_info_hva({})", hva.source()),
            VcpuAttr::TimeInfo(gpa) => place("KVM_XEN_VCPU_ATTR_TYPE_VCPU_TIME_INFO", gpa),
            VcpuAttr::RunstateAddr(gpa) => place("KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADDR", gpa),
            VcpuAttr::RunstateCurrent(state) => {
                numbers("KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_CURRENT", &[*state])
            }
            VcpuAttr::RunstateData(data) => numbers("KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_DATA", data),
            VcpuAttr::RunstateAdjust(data) => {
                numbers("KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADJUST", data)
            }
            VcpuAttr::VcpuId(id) => numbers("KVM_XEN_VCPU_ATTR_TYPE_VCPU_ID", &[u64::from(*id)]),
            VcpuAttr::Timer(port, priority, expires) => timer(*port, *priority, hex(*expires)),
            VcpuAttr::UpcallVector(vector) => format!("set_upcall_vector({vector:#x})"),
            VcpuAttr::Other(kind, word) => numbers(&kind.to_string(), &[*word]),
        }
    }
}

impl Value for Deliver {
    fn source(&self) -> String {
        match self {
            Deliver::Port(port, vcpu, priority) => {
                format!("Deliver::Port {{ port: {port}, vcpu: {vcpu}, priority: {priority:#x} }}")
            }
            Deliver::Eventfd => "Deliver::Eventfd(eventfd.as_raw_fd())".into(),
            Deliver::NoEventfd => "Deliver::Eventfd(vm.fd.as_raw_fd())".into(),
            Deliver::Closed => "Deliver::Eventfd(1_000_000)".into(),
        }
    }
}

impl Value for Slot {
    fn source(&self) -> String {
        match self {
            Slot::Remove => "let _ = Area::detach(&vm);".into(),
            Slot::Add(flags) => format!("let _ = area.put(&vm, AREA_SLOT, AREA_GPA, {flags:#x});"),
            Slot::Move(flags) => {
                format!("let _ = area.put(&vm, AREA_SLOT, OTHER_GPA, {flags:#x});")
            }
            Slot::AddSecond(flags) => {
                format!("let _ = area.put(&vm, OTHER_SLOT, OTHER_GPA, {flags:#x});")
            }
            Slot::RemoveSecond => "let _ = vm.delete_slot(OTHER_SLOT);".into(),
        }
    }
}

impl Page {
    /// The call that does this to a page.
    pub fn source(self, page: u8) -> String {
        let method = match self {
            Page::Unmap => "unmap",
            Page::Map => "map",
            Page::Forbid => "forbid",
            Page::WriteProtect => "write_protect",
            Page::Permit => "permit",
            Page::Discard => "discard",
        };
        format!("area.{method}({page})?;")
    }
}
