// SPDX-License-Identifier: GPL-2.0
//! A vCPU, and running guest code on it.

use kvm_bindings::{kvm_regs, KVM_EXIT_XEN};
use kvm_ioctls::{VcpuExit, VcpuFd};
use kvm_xen_ioctls::XenVcpu;
use nix::errno::Errno;

use super::check::check_eq;
use super::child::step;
use super::guest_code::{Entry, PORT_DONE, PORT_VECTOR};
use super::guest_cpu;
use super::outcome::{fail, Outcome};
use super::vm::{errno, Vm};
use crate::abi::Abi;

/// Interrupts are off; bit 1 of rflags is always set.
const RFLAGS_OFF: u64 = 0x2;
/// I/O instructions are allowed in ring 3.
const RFLAGS_IOPL3: u64 = 0x3000;

/// A vCPU.
pub struct Vcpu {
    /// The vCPU itself.
    pub fd: VcpuFd,
    /// Its number, which is also its APIC id.
    pub id: u32,
    abi: Abi,
    in_wrmsr: bool,
}

/// Why a vCPU came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The entry came to its end.
    Done,
    /// An interrupt's handler runs.
    Interrupt(u8),
    /// The guest made a mistake.
    Exception(u8),
    /// KVM_EXIT_XEN: a hypercall for the VMM.
    Hypercall(Hypercall),
    /// KVM_EXIT_X86_WRMSR: MSR, value and KVM_MSR_EXIT_REASON_ bits.
    Wrmsr(u32, u64, u32),
    /// Anything else.
    Other(String),
}

/// A hypercall as the VMM gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hypercall {
    /// 1 for a 64-bit guest.
    pub longmode: u32,
    /// The ring that it was made in.
    pub cpl: u32,
    /// Its number.
    pub input: u64,
    /// Its arguments.
    pub params: [u64; 6],
}

impl Exit {
    /// A hypercall for the VMM, made in ring `cpl`. Arguments that are not given are 0.
    pub fn for_the_vmm(abi: Abi, cpl: u32, input: u64, arguments: &[u64]) -> Self {
        let mut params = [0; 6];
        params[..arguments.len()].copy_from_slice(arguments);
        Self::Hypercall(Hypercall {
            longmode: abi.long_mode().into(),
            cpl,
            input,
            params,
        })
    }
}

impl Vcpu {
    /// Makes vCPU `id`. It can't run yet, see [`Vcpu::boot`].
    pub fn new(vm: &Vm, id: u32) -> Outcome<Self> {
        Ok(Self {
            fd: vm.fd.create_vcpu(id.into())?,
            id,
            abi: Abi::Bits64,
            in_wrmsr: false,
        })
    }

    /// Makes it ready to run code of this word size.
    pub fn boot(&mut self, vm: &Vm, abi: Abi) -> Outcome {
        self.abi = abi;
        guest_cpu::load(vm, self, abi)
    }

    /// Runs until it comes back.
    pub fn run(&mut self) -> Result<Exit, Errno> {
        step(format!("vCPU {} to come back", self.id));
        let exit = match self.fd.run().map_err(errno)? {
            VcpuExit::IoOut(PORT_DONE, _) => Exit::Done,
            VcpuExit::IoOut(PORT_VECTOR, data) => match data.first().copied().unwrap_or(0) {
                vector @ 0..32 => Exit::Exception(vector),
                vector => Exit::Interrupt(vector),
            },
            VcpuExit::X86Wrmsr(exit) => Exit::Wrmsr(exit.index, exit.data, exit.reason.bits()),
            VcpuExit::Unsupported(KVM_EXIT_XEN) => self.xen_exit(),
            other => Exit::Other(format!("{other:?}")),
        };
        self.in_wrmsr = matches!(exit, Exit::Wrmsr(..));
        Ok(exit)
    }

    /// Ends an instruction that the VMM was to emulate, which skips it.
    fn finish_instruction(&mut self) -> Result<(), Errno> {
        self.fd.set_kvm_immediate_exit(1);
        let result = self.run();
        self.fd.set_kvm_immediate_exit(0);
        match result {
            Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(Errno::EPROTO),
        }
    }

    fn xen_exit(&mut self) -> Exit {
        match self.fd.xen_hypercall() {
            Some(hypercall) => Exit::Hypercall(Hypercall {
                longmode: hypercall.longmode.into(),
                cpl: hypercall.cpl.into(),
                input: hypercall.input,
                params: hypercall.params,
            }),
            None => Exit::Other("KVM_EXIT_XEN that is no hypercall".into()),
        }
    }

    /// Starts at `entry` with these registers, and runs until it comes back.
    pub fn start(&mut self, entry: Entry, regs: kvm_regs) -> Result<Exit, Errno> {
        if self.in_wrmsr {
            self.finish_instruction()?;
            self.in_wrmsr = false;
        }
        let sregs = self.fd.get_sregs().map_err(errno)?;
        let ring3 = sregs.cs.dpl == 3;
        self.fd
            .set_regs(&kvm_regs {
                rip: guest_cpu::entry_address(self.abi, entry),
                rsp: guest_cpu::stack_top(self.id),
                rflags: RFLAGS_OFF | if ring3 { RFLAGS_IOPL3 } else { 0 },
                ..regs
            })
            .map_err(errno)?;
        self.run()
    }

    /// Runs `entry` to its end.
    #[track_caller]
    pub fn complete(&mut self, entry: Entry) -> Outcome {
        match self.start(entry, kvm_regs::default())? {
            Exit::Done => Ok(()),
            exit => Err(fail(format!("{entry:?}: expected Done, got {exit:?}"))),
        }
    }

    /// Has the guest write an MSR.
    pub fn wrmsr(&mut self, msr: u32, value: u64) -> Result<Exit, Errno> {
        let regs = kvm_regs {
            rcx: msr.into(),
            rax: value & u64::from(u32::MAX),
            rdx: value >> 32,
            ..Default::default()
        };
        self.start(Entry::Wrmsr, regs)
    }

    /// Has the guest make a hypercall by `entry`.
    pub fn hypercall_by(
        &mut self,
        entry: Entry,
        number: u64,
        params: &[u64],
    ) -> Result<Exit, Errno> {
        let param = |index: usize| params.get(index).copied().unwrap_or(0);
        let mut regs = kvm_regs {
            rax: number,
            ..Default::default()
        };
        match self.abi {
            Abi::Bits32 => {
                regs.rbx = param(0);
                regs.rcx = param(1);
                regs.rdx = param(2);
                regs.rsi = param(3);
                regs.rdi = param(4);
            }
            Abi::Bits64 => {
                regs.rdi = param(0);
                regs.rsi = param(1);
                regs.rdx = param(2);
                regs.r10 = param(3);
                regs.r8 = param(4);
                regs.r9 = param(5);
            }
        }
        self.start(entry, regs)
    }

    /// Has the guest make a hypercall through its hypercall page.
    pub fn hypercall(&mut self, number: u64, params: &[u64]) -> Result<Exit, Errno> {
        self.hypercall_by(Entry::Hypercall, number, params)
    }

    /// The same, of one that KVM does itself; returns its result.
    #[track_caller]
    pub fn call(&mut self, number: u64, params: &[u64]) -> Outcome<u64> {
        let exit = self.hypercall(number, params)?;
        check_eq(format!("exit of hypercall {number}"), exit, Exit::Done)?;
        Ok(self.result()?)
    }

    /// Gives the VMM's result for [`Exit::Hypercall`] and goes on.
    pub fn return_to_guest(&mut self, result: u64) -> Result<Exit, Errno> {
        self.fd.set_xen_hypercall_result(result).map_err(errno)?;
        self.run()
    }

    /// The result register, as wide as the guest has it, sign-extended.
    pub fn result(&self) -> Result<u64, Errno> {
        let rax = self.fd.get_regs().map_err(errno)?.rax;
        Ok(match self.abi {
            Abi::Bits32 => i64::from(rax as i32) as u64,
            Abi::Bits64 => rax,
        })
    }

    /// Turns the local APIC on, so that it takes interrupts.
    pub fn enable_lapic(&self) -> Outcome {
        const SVR: usize = 0xf0;
        let mut lapic = self.fd.get_lapic()?;
        // Software enable is bit 8.
        lapic.regs[SVR + 1] |= 1;
        self.fd.set_lapic(&lapic)?;
        Ok(())
    }

    /// Has the guest reach its local APIC by MSRs.
    pub fn enter_x2apic_mode(&self) -> Outcome {
        const X2APIC_ENABLE: u64 = 1 << 10;
        let mut sregs = self.fd.get_sregs()?;
        sregs.apic_base |= X2APIC_ENABLE;
        self.fd.set_sregs(&sregs)?;
        Ok(())
    }
}
