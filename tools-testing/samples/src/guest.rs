// SPDX-License-Identifier: GPL-2.0
//! VMs: one that has its locks and a vCPU, and one that also runs a little code in real mode.

use anyhow::{ensure, Context, Result};
use kvm_bindings::{kvm_regs, kvm_userspace_memory_region};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd, VmFd};
use vm_memory::{MmapRegion, VolatileMemory};

/// Guest memory, from address 0.
pub const MEMORY: usize = 0x10_0000;
/// Where the code is.
const CODE: u64 = 0x1000;
/// The port that tells that the code has come to its end.
const DONE: u16 = 0x40;

/// What the guest does: one instruction.
#[derive(Clone, Copy)]
pub enum Instruction {
    /// Writes edx:eax to the MSR in ecx.
    Wrmsr,
    /// A hypercall on this CPU.
    Hypercall,
}

impl Instruction {
    fn bytes(self) -> &'static [u8] {
        match self {
            Self::Wrmsr => &[0x0f, 0x30],
            Self::Hypercall if is_intel() => &[0x0f, 0x01, 0xc1],
            Self::Hypercall => &[0x0f, 0x01, 0xd9],
        }
    }
}

/// A VM with one vCPU and nothing else. It never runs.
pub struct Bare {
    pub vm: VmFd,
    pub vcpu: VcpuFd,
}

impl Bare {
    pub fn new() -> Result<Self> {
        let vm = kvm()?.create_vm()?;
        let vcpu = vm.create_vcpu(0)?;
        Ok(Self { vm, vcpu })
    }
}

/// A VM with one vCPU that runs. The fields are dropped in this order: memory last.
pub struct Vm {
    vcpu: VcpuFd,
    vm: VmFd,
    memory: MmapRegion,
}

impl Vm {
    /// Makes one, with an interrupt controller, memory and a vCPU.
    pub fn new() -> Result<Self> {
        let vm = kvm()?.create_vm()?;
        vm.create_irq_chip()?;
        let memory = MmapRegion::new(MEMORY)?;
        set_memory(&vm, &memory)?;
        let vcpu = vm.create_vcpu(0)?;
        Ok(Self { vcpu, vm, memory })
    }

    pub fn fd(&self) -> &VmFd {
        &self.vm
    }

    pub fn vcpu(&self) -> &VcpuFd {
        &self.vcpu
    }

    /// Takes the memory from the guest, and gives it back.
    pub fn update_memslots(&self) -> Result<()> {
        // SAFETY: a slot without memory is none at all.
        unsafe { self.vm.set_user_memory_region(Default::default())? };
        set_memory(&self.vm, &self.memory)
    }

    /// Writes to guest memory.
    pub fn write(&self, address: usize, bytes: &[u8]) -> Result<()> {
        self.memory
            .get_slice(address, bytes.len())?
            .copy_from(bytes);
        Ok(())
    }

    /// Reads a 32-bit word of guest memory.
    pub fn read_u32(&self, address: usize) -> Result<u32> {
        Ok(self.memory.get_ref::<u32>(address)?.load())
    }

    /// Runs one instruction with these registers, and returns those after it.
    pub fn run(&mut self, instruction: Instruction, regs: kvm_regs) -> Result<kvm_regs> {
        let out = [0xe6, DONE as u8];
        let code = [instruction.bytes(), out.as_slice()].concat();
        self.write(CODE as usize, &code)?;

        let mut sregs = self.vcpu.get_sregs()?;
        sregs.cs.base = 0;
        sregs.cs.selector = 0;
        self.vcpu.set_sregs(&sregs)?;
        self.vcpu.set_regs(&kvm_regs {
            rip: CODE,
            rflags: 2,
            ..regs
        })?;
        let exit = self.vcpu.run()?;
        ensure!(
            matches!(exit, VcpuExit::IoOut(DONE, _)),
            "the guest does not come to its end: {exit:?}"
        );
        Ok(self.vcpu.get_regs()?)
    }
}

/// /dev/kvm.
pub fn kvm() -> Result<Kvm> {
    Kvm::new().context("no /dev/kvm; load KVM's modules")
}

fn set_memory(vm: &VmFd, memory: &MmapRegion) -> Result<()> {
    let region = kvm_userspace_memory_region {
        memory_size: memory.size() as u64,
        userspace_addr: memory.as_ptr() as u64,
        ..Default::default()
    };
    // SAFETY: the mapping is used for guest memory only, and as volatile
    // memory, and outlives the VM.
    unsafe { vm.set_user_memory_region(region)? };
    Ok(())
}

fn is_intel() -> bool {
    // SAFETY: every x86-64 CPU has this instruction and leaf.
    let vendor = unsafe { std::arch::x86_64::__cpuid(0) };
    vendor.ebx.to_le_bytes() == *b"Genu"
}
