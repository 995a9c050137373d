// SPDX-License-Identifier: GPL-2.0
//! Runs a sequence on a fresh VM, and notes all that can be seen.

use std::os::fd::{AsRawFd, RawFd};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{anyhow, Context, Result};
use harness::memory::{AREA_GPA, AREA_PAGES, AREA_SLOT, OTHER_GPA, OTHER_SLOT, RAM_SIZE, RAM_SLOT};
use harness::vm::{errno, PRIORITY};
use harness::{guest_code::HYPERCALL_PAGE, ioctl, irqfd};
use kvm_bindings::*;
use kvm_ioctls::{Kvm, VmFd};
use nix::errno::Errno;
use vmm_sys_util::eventfd::{EventFd, EFD_NONBLOCK};

use crate::alarm::Alarm;
use crate::memory::Memory;
use crate::observe::Footprint;
use crate::op::*;
use crate::trace::{Item, Kind, Trace, AFTER};
use crate::vcpu::Vcpu;

mod attr;
mod guest;
pub use guest::PORTS;

/// Lines of the VMs with an interrupt controller of the VMM's.
const SPLIT_LINES: u64 = 24;

/// A file descriptor that is never open.
const CLOSED_FD: RawFd = 1_000_000;

/// Runs sequences, one after the other.
pub struct Executor {
    kvm: Kvm,
    memory: Memory,
    alarm: Alarm,
    patience: u32,
    /// Static keys that depend on there being such a VM don't change with each sequence.
    _keeper: (VmFd, kvm_ioctls::VcpuFd),
}

impl Executor {
    /// Of this process. Waits are `patience` times as long as they might be, for when the
    /// machine is busy.
    pub fn new(memory: Memory, patience: u32) -> Result<Self> {
        let kvm = Kvm::new().context("opening /dev/kvm")?;
        let keeper = kvm.create_vm().context("creating a VM")?;
        let vcpu = keeper.create_vcpu(0).context("creating a vCPU")?;
        let config = kvm_xen_hvm_config {
            flags: KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL,
            msr: 0x4000_0000,
            ..Default::default()
        };
        ioctl::xen_hvm_config(&keeper, &config).context("KVM_XEN_HVM_CONFIG")?;
        Ok(Self {
            kvm,
            memory,
            alarm: Alarm::new()?,
            patience,
            _keeper: (keeper, vcpu),
        })
    }

    /// Runs a sequence.
    pub fn run(&mut self, program: &Program) -> Result<Trace> {
        self.memory.reset()?;
        let mut run = Run::new(self, program.irqchip)?;
        for (number, op) in program.ops.iter().enumerate() {
            run.number = number as u16;
            run.op(op)?;
        }
        run.finish()
    }
}

/// A sequence that runs.
struct Run<'a> {
    executor: &'a mut Executor,
    vm: VmFd,
    vcpus: Vec<Vcpu>,
    eventfd: EventFd,
    irqchip: Irqchip,
    number: u16,
    footprint: Footprint,
    /// Moments that timers were set to.
    expiries: Vec<u64>,
    hypercall_pages: bool,
    trace: Trace,
}

/// What a trace has of a result.
fn code<T: Into<i64>>(result: Result<T, Errno>) -> u64 {
    match result {
        Ok(value) => value.into() as u64,
        Err(error) => -i64::from(error as i32) as u64,
    }
}

fn zero(result: Result<(), kvm_ioctls::Error>) -> Result<i32, Errno> {
    result.map(|()| 0).map_err(errno)
}

impl<'a> Run<'a> {
    fn new(executor: &'a mut Executor, irqchip: Irqchip) -> Result<Self> {
        let vm = executor.kvm.create_vm().context("creating a VM")?;
        match irqchip {
            Irqchip::None => {}
            Irqchip::Kernel => vm.create_irq_chip().context("KVM_CREATE_IRQCHIP")?,
            Irqchip::Split => vm
                .enable_cap(&kvm_enable_cap {
                    cap: KVM_CAP_SPLIT_IRQCHIP,
                    args: [SPLIT_LINES, 0, 0, 0],
                    ..Default::default()
                })
                .context("KVM_CAP_SPLIT_IRQCHIP")?,
        }
        let run = Self {
            executor,
            vm,
            vcpus: Vec::new(),
            eventfd: EventFd::new(EFD_NONBLOCK)?,
            irqchip,
            number: 0,
            footprint: Footprint::default(),
            expiries: Vec::new(),
            hypercall_pages: false,
            trace: Vec::new(),
        };
        let ram = run.executor.memory.ram();
        for (slot, gpa, size, hva) in [
            (RAM_SLOT, 0, RAM_SIZE, ram),
            (AREA_SLOT, AREA_GPA, AREA_PAGES * 4096, run.area(0, 0)),
        ] {
            run.region(slot, gpa, size as u64, hva, 0)
                .map_err(|error| anyhow!("slot {slot}: {error}"))?;
        }
        Ok(run)
    }

    fn area(&self, page: u8, offset: u16) -> u64 {
        self.executor.memory.area(page, offset)
    }

    fn see(&mut self, kind: Kind, at: u32, value: u64) {
        self.trace.push(Item::new(self.number, kind, at, value));
    }

    fn result(&mut self, result: Result<impl Into<i64>, Errno>) {
        self.see(Kind::Result, 0, code(result));
    }

    fn region(&self, slot: u32, gpa: u64, size: u64, hva: u64, flags: u32) -> Result<i32, Errno> {
        let region = kvm_userspace_memory_region {
            slot,
            flags,
            guest_phys_addr: gpa,
            memory_size: size,
            userspace_addr: hva,
        };
        // SAFETY: these addresses are those of guest memory, which nothing else uses.
        zero(unsafe { self.vm.set_user_memory_region(region) })
    }

    fn vcpu(&self, index: u8) -> Option<usize> {
        usize::from(index).checked_rem(self.vcpus.len())
    }

    fn op(&mut self, op: &Op) -> Result<()> {
        match op {
            Op::Config(flags, msr, blobs) => {
                let [size_32, size_64] = *blobs;
                let blob = |size: u8| if size == 0 { 0 } else { self.area(0, 0) };
                let config = kvm_xen_hvm_config {
                    flags: *flags,
                    msr: *msr,
                    blob_addr_32: blob(size_32),
                    blob_addr_64: blob(size_64),
                    blob_size_32: size_32,
                    blob_size_64: size_64,
                    ..Default::default()
                };
                let result = ioctl::xen_hvm_config(&self.vm, &config);
                self.result(result.map(|()| 0));
            }
            Op::SetVm(attr) => self.set_vm(*attr),
            Op::GetVm(kind) => self.get_vm(*kind),
            Op::Port(port, kind, flags, deliver) => self.port(*port, *kind, *flags, *deliver)?,
            Op::Send(port, vcpu, priority) => {
                let event = kvm_irq_routing_xen_evtchn {
                    port: *port,
                    vcpu: *vcpu,
                    priority: *priority,
                };
                let result = ioctl::xen_hvm_evtchn_send(&self.vm, &event);
                self.result(result.map(|()| 0));
            }
            Op::AddVcpu(id) => self.add_vcpu(*id)?,
            Op::SetVcpu(index, attr) => self.set_vcpu(*index, *attr),
            Op::GetVcpu(index, kind) => self.get_vcpu(*index, *kind),
            Op::Routes(routes) => self.routes(routes),
            Op::Irqfd(gsi, times) => self.irqfd(*gsi, *times)?,
            Op::IrqLine(gsi, level) => {
                let result = ioctl::irq_line_status(&self.vm, *gsi, *level);
                self.result(result);
            }
            Op::Slot(slot) => self.slot(*slot),
            Op::Page(page, how) => {
                self.footprint.touch(Place {
                    page: *page,
                    offset: 0,
                });
                self.executor.memory.change(*page, *how);
            }
            Op::Poke(place, value) => {
                self.footprint.touch(*place);
                self.executor
                    .memory
                    .poke(place.page, place.offset.min(4088), *value);
            }
            Op::Call(index, call) => self.call(*index, call)?,
            Op::Resume(index, result) => self.resume(*index, *result)?,
            Op::Run(index, mode, code) => self.run_code(*index, *mode, *code)?,
            Op::HypercallPage(index, mode, msr, value) => {
                self.hypercall_page(*index, *mode, *msr, *value)?;
            }
            Op::FireTimer(index, port) => self.fire_timer(*index, *port)?,
            Op::EnableLapic(index) => self.enable_lapic(*index),
            Op::DirtyLog(second) => {
                let slot = if *second { OTHER_SLOT } else { AREA_SLOT };
                match self.vm.get_dirty_log(slot, AREA_PAGES * 4096) {
                    Ok(log) => {
                        for (at, word) in log.into_iter().enumerate() {
                            self.see(Kind::Dirty, at as u32, word);
                        }
                    }
                    Err(error) => self.result(Err::<i32, _>(errno(error))),
                }
            }
        }
        Ok(())
    }

    fn port(&mut self, port: u32, kind: u32, flags: u32, deliver: Deliver) -> Result<()> {
        let mut evtchn = kvm_xen_hvm_attr__bindgen_ty_1__bindgen_ty_2 {
            send_port: port,
            type_: kind,
            flags,
            ..Default::default()
        };
        // Kept open until the ioctl is done.
        let file = std::fs::File::open("/proc/self/exe").context("/proc/self/exe")?;
        evtchn.deliver.padding = match deliver {
            Deliver::Port(port, vcpu, priority) => [port, vcpu, priority, 0],
            Deliver::Eventfd => [0, self.eventfd.as_raw_fd() as u32, 0, 0],
            Deliver::NoEventfd => [0, file.as_raw_fd() as u32, 0, 0],
            Deliver::Closed => [0, CLOSED_FD as u32, 0, 0],
        };
        let mut attr = kvm_xen_hvm_attr {
            type_: KVM_XEN_ATTR_TYPE_EVTCHN as u16,
            ..Default::default()
        };
        attr.u.evtchn = evtchn;
        let result = ioctl::xen_hvm_set_attr(&self.vm, &attr);
        self.result(result.map(|()| 0));
        Ok(())
    }

    fn routes(&mut self, routes: &[Route]) {
        let routes: Vec<_> = routes
            .iter()
            .map(|route| irqfd::Route {
                gsi: route.gsi,
                port: route.port,
                vcpu: route.vcpu,
                priority: route.priority,
            })
            .collect();
        let table = irqfd::table(&routes);
        let result = table.and_then(|table| zero(self.vm.set_gsi_routing(&table)));
        self.result(result);
    }

    /// After it is untied all that it has set off is done.
    fn irqfd(&mut self, gsi: u32, times: u8) -> Result<()> {
        let eventfd = EventFd::new(EFD_NONBLOCK)?;
        let tied = zero(self.vm.register_irqfd(&eventfd, gsi));
        self.result(tied);
        if tied.is_ok() {
            for _ in 0..times {
                eventfd.write(1)?;
            }
            let result = zero(self.vm.unregister_irqfd(&eventfd, gsi));
            self.result(result);
        }
        Ok(())
    }

    fn slot(&mut self, slot: Slot) {
        let (size, hva) = ((AREA_PAGES * 4096) as u64, self.area(0, 0));
        let result = match slot {
            Slot::Remove => self.region(AREA_SLOT, 0, 0, 0, 0),
            Slot::Add(flags) => self.region(AREA_SLOT, AREA_GPA, size, hva, flags),
            Slot::Move(flags) => self.region(AREA_SLOT, OTHER_GPA, size, hva, flags),
            Slot::AddSecond(flags) => self.region(OTHER_SLOT, OTHER_GPA, size, hva, flags),
            Slot::RemoveSecond => self.region(OTHER_SLOT, 0, 0, 0, 0),
        };
        self.result(result);
    }

    /// What can be seen after the last operation.
    fn finish(mut self) -> Result<Trace> {
        self.number = AFTER;
        for kind in [
            KVM_XEN_ATTR_TYPE_LONG_MODE,
            KVM_XEN_ATTR_TYPE_SHARED_INFO,
            KVM_XEN_ATTR_TYPE_SHARED_INFO_HVA,
            KVM_XEN_ATTR_TYPE_UPCALL_VECTOR,
            KVM_XEN_ATTR_TYPE_XEN_VERSION,
            KVM_XEN_ATTR_TYPE_RUNSTATE_UPDATE_FLAG,
        ] {
            self.get_vm(kind as u16);
        }
        for index in 0..self.vcpus.len() {
            for kind in KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO..=KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO_HVA {
                self.get_vcpu(index as u8, kind as u16);
            }
            self.see_processor(index);
        }
        let count = self.eventfd.read().unwrap_or(0);
        self.see(Kind::Eventfd, 0, count);
        if self.hypercall_pages {
            for at in (0..4096).step_by(8) {
                let word = self.executor.memory.ram_word(HYPERCALL_PAGE + at);
                if word != 0 {
                    self.see(Kind::HypercallPage, at as u32, word);
                }
            }
        }
        let footprint = std::mem::take(&mut self.footprint);
        footprint.observe(&mut self.executor.memory, &mut self.trace);
        Ok(self.trace)
    }
}
