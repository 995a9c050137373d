// SPDX-License-Identifier: GPL-2.0
//! What a VMM and its guest do. A program is a list of these, for a VM that
//! begins with the guest's code and an area of empty pages, and without vCPUs.

use harness::abi::Abi;
use harness::attr::INVALID_GPA;
use harness::memory::{AREA_GPA, NO_MEMORY_GPA, OTHER_GPA};

/// Where sequences have their structures: the first pages of the area.
pub const PAGES: u8 = 8;

/// Where an interrupt controller is, if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Irqchip {
    /// Nowhere.
    None,
    /// In the kernel.
    Kernel,
    /// The local APICs are in the kernel, all else is the VMM's.
    Split,
}

/// A sequence, and the VM it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Where the VM has its interrupt controller.
    pub irqchip: Irqchip,
    /// What is done, in order.
    pub ops: Vec<Op>,
}

/// A guest address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gpa {
    /// In a page of the area, where its slot is at first.
    Area(u8, u16),
    /// In a page of the area, where slots are added later or moved to.
    Elsewhere(u8, u16),
    /// In the RAM that has the guest's code.
    Ram(u32),
    /// Where there never is memory.
    NoMemory,
    /// KVM_XEN_INVALID_GPA.
    Invalid,
    /// Anything.
    Raw(u64),
}

impl Gpa {
    /// The number.
    pub fn address(self) -> u64 {
        let at =
            |base: u64, page: u8, offset: u16| base + u64::from(page) * 4096 + u64::from(offset);
        match self {
            Gpa::Area(page, offset) => at(AREA_GPA, page, offset),
            Gpa::Elsewhere(page, offset) => at(OTHER_GPA, page, offset),
            Gpa::Ram(offset) => offset.into(),
            Gpa::NoMemory => NO_MEMORY_GPA,
            Gpa::Invalid => INVALID_GPA,
            Gpa::Raw(address) => address,
        }
    }

    /// The place in the area, if it has one.
    pub fn in_area(self) -> Option<Place> {
        match self {
            Gpa::Area(page, offset) | Gpa::Elsewhere(page, offset) => Some(Place { page, offset }),
            _ => None,
        }
    }
}

/// An address of the VMM's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hva {
    /// In a page of the area.
    Area(u8, u16),
    /// Anything.
    Raw(u64),
}

impl Hva {
    /// The place in the area, if it has one.
    pub fn in_area(self) -> Option<Place> {
        match self {
            Hva::Area(page, offset) => Some(Place { page, offset }),
            Hva::Raw(_) => None,
        }
    }
}

/// A place in the area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The page.
    pub page: u8,
    /// The byte in it.
    pub offset: u16,
}

/// An attribute of a VM, with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VmAttr {
    /// The guest's word size.
    LongMode(u8),
    /// shared_info by guest frame: that of the address.
    SharedInfo(Gpa),
    /// shared_info by any frame number.
    SharedInfoGfn(u64),
    /// shared_info by the VMM's address.
    SharedInfoHva(Hva),
    /// The vector of upcalls.
    UpcallVector(u8),
    /// The version that the guest is told.
    XenVersion(u32),
    /// Whether updates of runstates are marked.
    RunstateUpdateFlag(u8),
    /// Any type, with its first word.
    Other(u16, u64),
}

/// An attribute of a vCPU, with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VcpuAttr {
    /// vcpu_info by guest address.
    VcpuInfo(Gpa),
    /// vcpu_info by the VMM's address.
    VcpuInfoHva(Hva),
    /// The second clock.
    TimeInfo(Gpa),
    /// The runstate.
    RunstateAddr(Gpa),
    /// The state that begins now.
    RunstateCurrent(u64),
    /// State, when it began, and the four times.
    RunstateData([u64; 6]),
    /// The same, added.
    RunstateAdjust([u64; 6]),
    /// The number that the guest knows the vCPU by.
    VcpuId(u32),
    /// Port, priority and expiry of the timer.
    Timer(u32, u32, u64),
    /// The vector of upcalls in the local APIC.
    UpcallVector(u8),
    /// Any type, with its first word.
    Other(u16, u64),
}

/// Where the events of a port go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deliver {
    /// To a port of a vCPU, with a priority.
    Port(u32, u32, u32),
    /// To the sequence's eventfd.
    Eventfd,
    /// To a file that is no eventfd.
    NoEventfd,
    /// To a file that isn't open.
    Closed,
}

/// A route from an interrupt line to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The line.
    pub gsi: u32,
    /// The port.
    pub port: u32,
    /// Its vCPU.
    pub vcpu: u32,
    /// There is one only.
    pub priority: u32,
}

/// What happens to the slots that the area is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The guest loses the slot.
    Remove,
    /// The slot is put (back) where it is at first, with these flags.
    Add(u32),
    /// The slot is put elsewhere, with these flags.
    Move(u32),
    /// A second slot has the same pages elsewhere, with these flags.
    AddSecond(u32),
    /// The guest loses the second slot.
    RemoveSecond,
}

/// What happens to a page of the area in the VMM's address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// munmap().
    Unmap,
    /// A new, empty page.
    Map,
    /// mprotect(PROT_NONE).
    Forbid,
    /// mprotect(PROT_READ).
    WriteProtect,
    /// mprotect(PROT_READ | PROT_WRITE).
    Permit,
    /// madvise(MADV_DONTNEED).
    Discard,
}

/// The mode that the guest runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// 64 bits.
    Long,
    /// 32 bits under a 64-bit kernel.
    Compat,
    /// 32 bits, without paging.
    Protected,
}

impl Mode {
    /// The program that runs in it.
    pub fn abi(self) -> Abi {
        match self {
            Mode::Long => Abi::Bits64,
            Mode::Compat | Mode::Protected => Abi::Bits32,
        }
    }
}

/// What the guest has at `DATA` for its hypercall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// struct evtchn_send.
    Port(u32),
    /// struct sched_poll, and the ports that it may point to.
    Poll {
        /// The ports, behind it.
        ports: Vec<u32>,
        /// How many it says there are.
        number: u32,
        /// Where it says that they are.
        pointer: u64,
        /// Nanoseconds.
        timeout: u64,
    },
    /// struct vcpu_set_singleshot_timer.
    Time(u64),
}

/// A hypercall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The mode that it is made in.
    pub mode: Mode,
    /// Whether in ring 3.
    pub ring3: bool,
    /// Its number.
    pub number: u64,
    /// Its parameters.
    pub params: [u64; 6],
    /// What some of them point to.
    pub data: Option<Data>,
}

/// Code of the guest's that makes no hypercall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Enters the guest and leaves it.
    Nothing,
    /// Takes interrupts.
    Window,
    /// Halts until there is one.
    Halt,
}

/// One thing done. vCPUs are meant by their place in the order of creation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// KVM_XEN_HVM_CONFIG: flags, MSR, sizes of the blobs.
    Config(u32, u32, [u8; 2]),
    /// KVM_XEN_HVM_SET_ATTR.
    SetVm(VmAttr),
    /// KVM_XEN_HVM_GET_ATTR of this type.
    GetVm(u16),
    /// KVM_XEN_ATTR_TYPE_EVTCHN: port, its kind, flags.
    Port(u32, u32, u32, Deliver),
    /// KVM_XEN_HVM_EVTCHN_SEND: port, vCPU, priority.
    Send(u32, u32, u32),
    /// KVM_CREATE_VCPU with this number.
    AddVcpu(u32),
    /// KVM_XEN_VCPU_SET_ATTR.
    SetVcpu(u8, VcpuAttr),
    /// KVM_XEN_VCPU_GET_ATTR of this type.
    GetVcpu(u8, u16),
    /// KVM_SET_GSI_ROUTING.
    Routes(Vec<Route>),
    /// An eventfd is tied to this line, signalled so often, and untied.
    Irqfd(u32, u8),
    /// KVM_IRQ_LINE_STATUS: line, level.
    IrqLine(u32, u32),
    /// KVM_SET_USER_MEMORY_REGION.
    Slot(Slot),
    /// munmap() and the like.
    Page(u8, Page),
    /// The VMM, or another vCPU, writes to the area.
    Poke(Place, u64),
    /// A hypercall.
    Call(u8, Call),
    /// KVM_RUN after KVM_EXIT_XEN, with this result.
    Resume(u8, u64),
    /// The guest runs something.
    Run(u8, Mode, Code),
    /// The guest has its hypercall page written: this value to the MSR.
    HypercallPage(u8, Mode, u32, u64),
    /// The vCPU's timer is set to this port, fires, and that is waited for.
    FireTimer(u8, u32),
    /// The local APIC is turned on.
    EnableLapic(u8),
    /// KVM_GET_DIRTY_LOG of the first or second slot of the area.
    DirtyLog(bool),
}
