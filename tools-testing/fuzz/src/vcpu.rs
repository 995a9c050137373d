// SPDX-License-Identifier: GPL-2.0
//! A vCPU of a sequence. Registers go in and out with KVM_RUN, in one system
//! call.

use harness::abi::Abi;
use harness::guest_code::Entry;
use harness::guest_cpu::{
    compat_registers, entry_address, ring3_registers, stack_top, system_registers,
};
use harness::vm::errno;
use kvm_bindings::*;
use kvm_ioctls::{SyncReg, VcpuExit, VcpuFd};
use nix::errno::Errno;

use crate::op::Mode;
use crate::trace::Kind;

/// Interrupts are off; bit 1 of rflags is always set.
const RFLAGS_OFF: u64 = 0x2;
/// I/O instructions are allowed in ring 3.
const RFLAGS_IOPL3: u64 = 0x3000;

/// The least that lets a guest into 64-bit mode: what more there is costs time.
const CPUID: [(u32, u32, u32); 3] = [
    // Leaf, eax, edx.
    (0x8000_0000, 0x8000_0008, 0),
    (0x8000_0001, 0, 1 << 29),
    (0x8000_0008, 40, 0),
];

/// A vCPU.
pub struct Vcpu {
    /// The vCPU itself.
    pub fd: VcpuFd,
    index: u32,
    reset: kvm_sregs,
    mode: Option<(Mode, bool)>,
    interrupted: bool,
}

impl Vcpu {
    /// That of the descriptor, the `index`th of its VM.
    pub fn new(mut fd: VcpuFd, index: u32) -> Result<Self, Errno> {
        let leaves = CPUID.map(|(function, eax, edx)| kvm_cpuid_entry2 {
            function,
            eax,
            edx,
            ..Default::default()
        });
        let cpuid = CpuId::from_entries(&leaves).map_err(|_| Errno::E2BIG)?;
        fd.set_cpuid2(&cpuid).map_err(errno)?;
        let reset = fd.get_sregs().map_err(errno)?;
        fd.set_sync_valid_reg(SyncReg::Register);
        Ok(Self {
            fd,
            index,
            reset,
            mode: None,
            interrupted: false,
        })
    }

    /// Whether it was ever started.
    pub fn has_run(&self) -> bool {
        self.mode.is_some()
    }

    /// Whether it was asleep when it was left.
    pub fn may_sleep(&self) -> bool {
        self.interrupted
    }

    /// Has it go on at `entry`, in this mode, with these registers.
    pub fn load(&mut self, entry: Entry, mode: Mode, ring3: bool, regs: kvm_regs) {
        if self.mode != Some((mode, ring3)) {
            self.mode = Some((mode, ring3));
            let mut sregs = self.reset;
            let kernel = match mode {
                Mode::Protected => Abi::Bits32,
                Mode::Long | Mode::Compat => Abi::Bits64,
            };
            system_registers(&mut sregs, kernel);
            if mode == Mode::Compat {
                compat_registers(&mut sregs);
            }
            if ring3 {
                ring3_registers(&mut sregs);
            }
            self.fd.sync_regs_mut().sregs = sregs;
            self.fd.set_sync_dirty_reg(SyncReg::SystemRegister);
        }
        self.fd.sync_regs_mut().regs = kvm_regs {
            rip: entry_address(mode.abi(), entry),
            rsp: stack_top(self.index),
            rflags: RFLAGS_OFF | if ring3 { RFLAGS_IOPL3 } else { 0 },
            ..regs
        };
        self.fd.set_sync_dirty_reg(SyncReg::Register);
    }

    /// Runs until it comes back, and tells how that looks.
    pub fn run(&mut self, mut see: impl FnMut(Kind, u32, u64)) {
        self.interrupted = false;
        let io = match self.fd.run() {
            Err(error) => {
                self.interrupted = error.errno() == libc::EINTR;
                see(Kind::Result, 0, i64::from(-error.errno()) as u64);
                None
            }
            Ok(VcpuExit::IoOut(port, data)) => Some((port, data.first().copied().unwrap_or(0))),
            Ok(_) => None,
        };
        let run = self.fd.get_kvm_run();
        let reason = run.exit_reason;
        let mut words = Vec::new();
        match (reason, io) {
            (KVM_EXIT_IO, Some((port, byte))) => words.extend([u64::from(port), u64::from(byte)]),
            (KVM_EXIT_XEN, _) => {
                // SAFETY: the exit reason says that this member is in use, which has one kind
                // of exit only, and any bytes are valid in it.
                let (kind, call) = unsafe {
                    let xen = run.__bindgen_anon_1.xen;
                    (xen.type_, xen.u.hcall)
                };
                words.extend([
                    kind.into(),
                    call.longmode.into(),
                    call.cpl.into(),
                    call.input,
                ]);
                words.extend(call.params);
            }
            (KVM_EXIT_MMIO, _) => {
                // SAFETY: the exit reason says that this member is in use.
                words.push(unsafe { run.__bindgen_anon_1.mmio.phys_addr });
            }
            (KVM_EXIT_INTERNAL_ERROR, _) => {
                // SAFETY: the exit reason says that this member is in use.
                words.push(unsafe { run.__bindgen_anon_1.internal.suberror }.into());
            }
            _ => {}
        }
        see(Kind::Exit, 0, reason.into());
        for (at, word) in words.into_iter().enumerate() {
            see(Kind::ExitWord, at as u32, word);
        }
        let regs = self.fd.sync_regs().regs;
        see(Kind::Rip, 0, regs.rip);
        see(Kind::Rax, 0, regs.rax);
    }

    /// Gives the VMM's result of a hypercall.
    pub fn give_result(&mut self, result: u64) {
        let run = self.fd.get_kvm_run();
        if run.exit_reason == KVM_EXIT_XEN {
            // Writing a member of a union is safe, and all members are plain data.
            run.__bindgen_anon_1.xen.u.hcall.result = result;
        }
    }
}
