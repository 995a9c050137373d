// SPDX-License-Identifier: GPL-2.0
//! VMs for which KVM takes its locks: one that has its locks and a vCPU, and one that also runs.

use anyhow::{anyhow, Error, Result};

use harness::abi::Abi;
use harness::guest_code::HYPERCALL_PAGE;
use harness::guest_cpu;
use harness::memory::{Area, Ram};
use harness::outcome::{Outcome, Stop};
use harness::vcpu::Vcpu;
use harness::vm::{self, HYPERCALL_MSR};

/// What a part of the harness has come to, as an error of this program.
pub fn told(stop: Stop) -> Error {
    let (Stop::Skip(text) | Stop::Fail(text)) = stop;
    anyhow!(text)
}

/// A VM with one vCPU and nothing else. It never runs.
pub struct Bare {
    pub vm: vm::Vm,
    pub vcpu: Vcpu,
}

impl Bare {
    pub fn new() -> Result<Self> {
        let vm = vm::Vm::without_irqchip().map_err(told)?;
        let vcpu = vm.add_vcpu(0).map_err(told)?;
        Ok(Self { vm, vcpu })
    }
}

/// A VM with an interrupt controller, memory and one vCPU. The fields are dropped in this order:
/// memory last.
pub struct Vm {
    vcpu: Vcpu,
    pub vm: vm::Vm,
    ram: Ram,
    area: Area,
}

impl Vm {
    /// Makes one.
    pub fn new() -> Result<Self> {
        Self::make().map_err(told)
    }

    fn make() -> Outcome<Self> {
        let vm = vm::Vm::new()?;
        let ram = Ram::new(&vm)?;
        let area = Area::new(&vm)?;
        let vcpu = vm.add_vcpu(0)?;
        Ok(Self {
            vcpu,
            vm,
            ram,
            area,
        })
    }

    /// Takes memory from the guest, and gives it back.
    pub fn update_memslots(&self) -> Result<()> {
        update_memslots(&self.vm, &self.area).map_err(told)
    }

    /// Has the guest ask for its hypercall page.
    pub fn write_hypercall_page(&mut self) -> Result<()> {
        let mut write = || -> Outcome {
            guest_cpu::fill(&self.ram)?;
            self.vcpu.boot(&self.vm, Abi::Bits64)?;
            self.vm.intercept_hypercalls()?;
            self.vcpu.wrmsr(HYPERCALL_MSR, HYPERCALL_PAGE)?;
            let page = self.ram.read(HYPERCALL_PAGE, 1)?;
            harness::check::check("a hypercall page that is written", page != [0])
        };
        write().map_err(told)
    }
}

/// Takes memory from a guest, and gives it back.
pub fn update_memslots(vm: &vm::Vm, area: &Area) -> Outcome {
    Area::detach(vm)?;
    area.attach(vm)
}
