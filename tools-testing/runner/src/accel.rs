// SPDX-License-Identifier: GPL-2.0
//! How QEMU is to run machines: by KVM where that works and can nest, else by emulation.

use crate::emulator;
use crate::qemu::QEMU;
use crate::tsc;
use anyhow::{bail, Context, Result};
use clap::ValueEnum;
use kvm_bindings::{kvm_userspace_memory_region, KVM_MAX_CPUID_ENTRIES};
use kvm_ioctls::{Kvm, VcpuExit};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

/// What the user asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Choice {
    /// KVM if it works, else emulation
    Auto,
    /// This machine's KVM, whose guests must be able to use KVM themselves
    Kvm,
    /// Emulation, which works everywhere
    Tcg,
}

/// What is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accel {
    /// This machine's KVM.
    Kvm,
    /// QEMU's emulation, with AMD's virtualization in it.
    Tcg,
    /// The same of one processor, whose time stamp counter counts its instructions.
    Counted,
    /// The same of several, which run at once, as far as this machine has as many.
    Parallel,
}

impl fmt::Display for Accel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Accel::Kvm => "KVM",
            Accel::Tcg => "emulation",
            Accel::Counted => "emulation that counts instructions",
            Accel::Parallel => "emulation whose processors run at once",
        })
    }
}

impl Accel {
    /// QEMU's arguments.
    pub fn arguments(self) -> &'static [&'static str] {
        match self {
            Accel::Kvm => &["-accel", "kvm", "-cpu", "host"],
            Accel::Tcg => &["-accel", "tcg,thread=single", "-cpu", "max"],
            Accel::Parallel => &["-accel", "tcg,thread=multi", "-cpu", "max"],
            Accel::Counted => &[
                "-accel",
                "tcg,thread=single",
                "-cpu",
                "max",
                // An instruction is a nanosecond, and a processor that waits does not.
                "-icount",
                "shift=0,sleep=off",
            ],
        }
    }
}

/// QEMU, and how it is to run machines.
pub struct Engine {
    /// What is used.
    pub accel: Accel,
    /// Why, in a line.
    pub why: String,
    emulator: Option<PathBuf>,
    tsc_khz: Option<u64>,
}

impl Engine {
    /// Decides.
    pub fn choose(choice: Choice) -> Result<Self> {
        let (accel, why) = match choice {
            Choice::Tcg => (Accel::Tcg, "as you asked".to_owned()),
            Choice::Kvm => match try_kvm() {
                Ok(()) => (Accel::Kvm, "as you asked".to_owned()),
                Err(error) => return Err(error.context("this machine's KVM can't be used")),
            },
            Choice::Auto => match try_kvm() {
                Ok(()) => (Accel::Kvm, "its guests can use KVM".to_owned()),
                Err(error) => (Accel::Tcg, format!("no KVM: {error:#}")),
            },
        };
        let mut why = format!("{accel} ({why})");
        // Made now, though KVM may need it only if it fails: while other threads start programs,
        // a file that was just written can't be executed.
        let emulator = emulator::without_fault(Path::new(QEMU))?;
        if accel == Accel::Tcg && emulator.is_none() {
            why.push_str("; this QEMU may deliver an interrupt twice and end a Xen guest by that");
        }
        Ok(Engine {
            accel,
            why,
            emulator,
            tsc_khz: tsc::khz(),
        })
    }

    /// What it is, and what that does not show.
    pub fn says(&self) -> &'static str {
        match self.accel {
            Accel::Kvm => "KVM, on this machine's own processors",
            Accel::Tcg | Accel::Counted | Accel::Parallel => {
                "emulation, in which processors take turns: what needs two at the same instant does \
                 not happen"
            }
        }
    }

    /// What the kernel of a machine is told on its command line, for it not to find out wrongly:
    /// how fast an emulated time stamp counter counts, and that it counts on, where the emulator
    /// waits for a processor between two looks at the clock.
    pub fn append(&self, accel: Accel) -> String {
        match (accel, self.tsc_khz) {
            (Accel::Tcg | Accel::Parallel, Some(khz)) => {
                format!("tsc_early_khz={khz} tsc=reliable")
            }
            (Accel::Tcg | Accel::Parallel, None) => "tsc=reliable".to_owned(),
            (Accel::Counted, _) => "tsc_early_khz=1000000 tsc=reliable".to_owned(),
            (Accel::Kvm, _) => String::new(),
        }
    }

    /// The QEMU to start.
    pub fn program(&self, accel: Accel) -> &Path {
        match (accel, &self.emulator) {
            (Accel::Tcg | Accel::Counted | Accel::Parallel, Some(copy)) => copy,
            _ => Path::new(QEMU),
        }
    }
}

/// Runs a small VM: a /dev/kvm that opens proves nothing.
fn try_kvm() -> Result<()> {
    const CODE: [u8; 5] = [
        0xb0, 0x2a, // mov $42, %al
        0xe6, 0x10, // out %al, $0x10
        0xf4, // hlt
    ];
    const START: u64 = 0x1000;
    const SIZE: usize = 0x4000;

    let kvm = Kvm::new().context("/dev/kvm")?;
    let vm = kvm.create_vm().context("creating a VM")?;
    can_nest(&kvm)?;

    let memory: GuestMemoryMmap = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), SIZE)])?;
    memory.write_slice(&CODE, GuestAddress(START))?;
    let region = kvm_userspace_memory_region {
        slot: 0,
        flags: 0,
        guest_phys_addr: 0,
        memory_size: SIZE as u64,
        userspace_addr: memory.get_host_address(GuestAddress(0))? as u64,
    };
    // SAFETY: the region is all of `memory`, which lives until after the VM and its vCPU are
    // dropped (they are declared before or inside its scope), and which nobody else uses.
    unsafe { vm.set_user_memory_region(region) }.context("giving a VM memory")?;
    let mut vcpu = vm.create_vcpu(0).context("creating a vCPU")?;
    let mut sregs = vcpu.get_sregs()?;
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    vcpu.set_sregs(&sregs)?;
    let mut regs = vcpu.get_regs()?;
    regs.rip = START;
    regs.rflags = 2;
    vcpu.set_regs(&regs)?;
    match vcpu.run().context("running a vCPU")? {
        VcpuExit::IoOut(0x10, [42]) => Ok(()),
        other => bail!("a VM did not run as it should ({other:?})"),
    }
}

fn can_nest(kvm: &Kvm) -> Result<()> {
    let cpuid = kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)?;
    let has = |function, bit: u32| {
        cpuid
            .as_slice()
            .iter()
            .any(|entry| entry.function == function && entry.ecx & (1 << bit) != 0)
    };
    let (vmx, svm) = (has(1, 5), has(0x8000_0001, 2));
    if !vmx && !svm {
        let turned_off = ["kvm_intel", "kvm_amd"].into_iter().find(|module| {
            let path = format!("/sys/module/{module}/parameters/nested");
            fs::read_to_string(path).is_ok_and(|text| matches!(text.trim(), "0" | "N"))
        });
        match turned_off {
            Some(module) => bail!("its guests can't use KVM: load {module} with nested=1"),
            None => bail!("its guests can't use KVM: this CPU offers them neither vmx nor svm"),
        }
    }
    Ok(())
}
