// SPDX-License-Identifier: GPL-2.0
//! What machines are made of, and the pieces of plans that name it.

mod refused;

use crate::build_steps;
use crate::cli::{Common, Random};
use crate::initramfs::Initramfs;
use crate::modules::Modules;
use crate::paths::{Kernel, Paths};
use crate::progress::Screen;
use crate::qemu::{self, XenGuest};
use crate::terminal;
use crate::upstream;
use anyhow::{Context, Error, Result};
use protocol::{
    DiskPlan, ExecAction, GuestAction, GuestPlan, MachinePlan, MigrateAction, Phase, Plan, Seen,
    ShellAction, Side,
};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where our module is in a machine.
const MODULE: &str = "/kvm_xen_rs.ko";

/// A build id that no kvm.ko has.
const ANOTHER_BUILD: &str = "0123456789abcdef0123456789abcdef01234567";

/// Where the livepatch that changes nothing is in a machine.
const DETOUR: &str = "/kvm_xen_detour.ko";

/// Where the Xen guest's kernel and first file system are in the machine.
const GUEST_KERNEL: &str = "/guest/vmlinuz";
const GUEST_INITRAMFS: &str = "/guest/initramfs";

/// The Xen guest's kernel command line. Its console shows warnings, and nothing less: each byte is
/// an exit.
///
/// Until a guest has chosen its clock source, time stands still where no processor takes interrupts.
/// The watchdog of clock sources waits for the other processors then, with its lock held, and gives up
/// by that time: forever, where one of them waits for the lock (Linux 7.2, 7.3).
const GUEST_APPEND: &str = "console=ttyS0 loglevel=5 panic=-1 tsc=nowatchdog";

/// A Xen guest takes virtio disks for emulated ones, which it turns off, unless told otherwise.
const KEEP_EMULATED: &str = "xen_emul_unplug=never";

/// What installs a Debian package; busybox has the rest.
const DPKG: [&str; 4] = [
    "/usr/bin/dpkg",
    "/usr/bin/dpkg-deb",
    "/usr/bin/dpkg-split",
    "/usr/bin/tar",
];

/// Where our module's package is in a machine, and what tries it.
const PACKAGE: &str = "/kvm-xen-rs.deb";
const TRY_PACKAGE: &str = "/tests/try-package";

/// How a Xen guest is set up.
pub struct Setup {
    /// What its kernel's command line has besides the usual.
    pub append: &'static str,
    /// Whether it is told that its local APICs are virtual, so that it has no MSIs by event channels.
    pub has_vapic: bool,
    /// What its `/proc/interrupts` has to say, as in [`Seen`].
    pub interrupts: &'static [(&'static str, bool)],
}

impl Setup {
    /// As most are.
    pub const USUAL: Setup = Setup {
        append: "",
        has_vapic: true,
        interrupts: &[(VECTOR, true)],
    };
}

/// Upcalls by a vector.
pub const VECTOR: &str = "HYP";

/// The guest that [`Parts`] has in a machine.
fn xen_guest(smp: u32, append: &str, has_vapic: bool) -> XenGuest<'_> {
    XenGuest {
        smp,
        kernel: GUEST_KERNEL,
        initrd: GUEST_INITRAMFS,
        append,
        has_vapic,
    }
}

/// Size of a guest's disk.
const DISK_MIB: u64 = 16;

/// The timers of a guest that moves are always longer than its work goes without an interrupt.
const TIMER_MS: u32 = 2000;

/// Beginnings of the lines of a guest's kernel log that tell most of Xen.
const TELLING: [&str; 9] = [
    "Hypervisor detected",
    "Xen version",
    "Booting paravirtualized",
    "xen:events:",
    "Xen: using",
    "installing Xen timer",
    "clocksource: Switched to clocksource xen",
    "xen:grant_table",
    "blkfront",
];

/// Seconds that a case of our selftests may take.
const CASE_LIMIT_S: u64 = 20;

/// Seconds that a Xen guest may take, boot and all.
pub const GUEST_LIMIT_S: u64 = 180;

/// Seconds that the small VMM of samples/ may take.
pub const HELLO_LIMIT_S: u64 = 60;

/// The programs of the workspace, by name.
pub type Programs = Arc<HashMap<String, PathBuf>>;

/// Everything built for machines with one kernel.
pub struct Parts<'a> {
    /// Where everything is.
    pub paths: &'a Paths,
    /// The kernel that machines boot.
    pub kernel: Kernel,
    /// What random tests take.
    pub random: Random,
    programs: Programs,
    module: Option<PathBuf>,
    modules: Modules,
    /// What the kernel has of what kernels differ in.
    has: Vec<String>,
}

impl<'a> Parts<'a> {
    /// Builds init and these crates' programs, and our module where it is wanted, and shows that.
    pub fn build(
        paths: &'a Paths,
        common: &Common,
        crates: &[&str],
        screen: &Screen,
    ) -> Result<Self> {
        let step = screen.step("Building the programs of the machines");
        let crates = [&["init"], crates].concat();
        let programs = build_steps::programs(paths, &crates, |what| step.note(what))?;
        step.done("");
        let module = match &common.module {
            Some(file) => Some(file.clone()),
            None if common.no_module => None,
            None => {
                let step = screen.step("Building kvm_xen_rs.ko");
                let module =
                    build_steps::module(paths, &paths.kernel, |line| step.note(line.trim()))?;
                step.done("");
                Some(module)
            }
        };
        let programs = Arc::new(programs);
        Self::new(paths, common, paths.kernel.clone(), &programs, module)
    }

    /// From what is built already.
    pub fn new(
        paths: &'a Paths,
        common: &Common,
        kernel: Kernel,
        programs: &Programs,
        module: Option<PathBuf>,
    ) -> Result<Self> {
        Ok(Parts {
            paths,
            modules: Modules::open(&kernel.modules())?,
            has: build_steps::differences(paths, &kernel)?,
            kernel,
            programs: programs.clone(),
            module,
            random: common.random,
        })
    }

    /// A first file system with KVM and our module, and the plan to be filled with steps.
    pub fn machine(&self) -> Result<(Initramfs, MachinePlan)> {
        let mut initramfs = Initramfs::new(self.program("kvm-xen-init")?)?;
        let kvm = initramfs.kvm(&self.modules)?;
        if let Some(module) = &self.module {
            initramfs.file(MODULE, module)?;
        }
        let plan = MachinePlan {
            kvm,
            module: self.module.as_ref().map(|_| MODULE.to_owned()),
            steps: Vec::new(),
        };
        Ok((initramfs, plan))
    }

    /// Has machines load this file in place of the kernel's module of its name.
    pub fn replace_module(&mut self, file: &Path) {
        self.modules.replace(file);
    }

    /// One of upstream's tests, to run in the machine.
    pub fn upstream(&self, initramfs: &mut Initramfs, test: &str) -> Result<ExecAction> {
        let path = format!("/tests/{test}");
        // Those of a debug kernel are the stock kernel's.
        let upstream = match self.kernel.is_debug() {
            true => self.paths.kernel.upstream(test)?,
            false => self.kernel.upstream(test)?,
        };
        initramfs.file(&path, &upstream)?;
        Ok(ExecAction {
            flaws: upstream::flaws(),
            ..ExecAction::text(vec![path])
        })
    }

    /// Our selftests, to run in the machine: these cases, or all.
    pub fn selftests(
        &self,
        initramfs: &mut Initramfs,
        flags: &[&str],
        cases: &[String],
    ) -> Result<ExecAction> {
        let path = self.add(initramfs, "kvm-xen-selftests")?;
        let limit = CASE_LIMIT_S * self.kernel.patience();
        let argv = [path, format!("--timeout={limit}"), self.kernel_has()]
            .into_iter()
            .chain(flags.iter().map(|&flag| flag.to_owned()))
            .chain(cases.iter().map(|case| exactly(case)));
        Ok(ExecAction::ktap(argv.collect()))
    }

    /// Adds a program of the workspace to a machine; returns where it is there.
    fn add(&self, initramfs: &mut Initramfs, name: &str) -> Result<String> {
        let path = format!("/tests/{name}");
        initramfs.stripped(&path, self.program(name)?)?;
        Ok(path)
    }

    /// What tells our tests which kernel's ABI to expect.
    fn kernel_has(&self) -> String {
        format!("--kernel-has={}", self.has.join(","))
    }

    /// The Debian package of our module, which is installed in the machine, used and removed.
    pub fn package(&self, initramfs: &mut Initramfs) -> Result<ExecAction> {
        let module = self
            .module
            .as_ref()
            .context("without a module there is none")?;
        let package = build_steps::package(self.paths, module)?;
        self.selftests(initramfs, &[], &[])?;
        initramfs.busybox()?;
        for program in DPKG {
            initramfs.program(program)?;
        }
        initramfs.file(PACKAGE, &package)?;
        let script = self.paths.workspace().join("deb/try");
        initramfs.file(TRY_PACKAGE, &script)?;
        let argv = ["/bin/sh", TRY_PACKAGE, PACKAGE].map(str::to_owned);
        Ok(ExecAction::text(argv.into()))
    }

    /// Random sequences on C and on Rust, to run in the machine.
    pub fn fuzz(&self, initramfs: &mut Initramfs, sequences: Option<u32>) -> Result<ExecAction> {
        let path = self.add(initramfs, "kvm-xen-fuzz")?;
        let mut argv = vec![path, format!("--module={MODULE}")];
        argv.push(self.kernel_has());
        argv.push(format!("--seed={}", self.random.seed));
        let sequences = sequences.or(self.random.sequences);
        argv.extend(sequences.map(|count| format!("--count={count}")));
        argv.extend(self.kernel.is_rt().then(|| "--under-rt".to_owned()));
        let minutes = self.random.minutes;
        argv.extend(minutes.map(|minutes| format!("--minutes={minutes}")));
        Ok(ExecAction::ktap(argv))
    }

    /// Storms of events, to run in the machine.
    pub fn storm(&self, initramfs: &mut Initramfs, arguments: &[String]) -> Result<ExecAction> {
        let path = self.add(initramfs, "kvm-xen-storm")?;
        Ok(ExecAction::ktap([&[path], arguments].concat()))
    }

    /// The small VMM of samples/, to run in the machine.
    pub fn hello(&self, initramfs: &mut Initramfs) -> Result<ExecAction> {
        Ok(ExecAction::text(vec![self.add(initramfs, "hello-xen")?]))
    }

    /// The test of kvm-xen-top, to run in the machine.
    pub fn top(&self, initramfs: &mut Initramfs, arguments: &[&str]) -> Result<ExecAction> {
        let top = self.add(initramfs, "kvm-xen-top")?;
        let test = self.add(initramfs, "kvm-xen-top-test")?;
        let mut argv = vec![test, format!("--top={top}")];
        argv.extend(arguments.iter().map(|&argument| argument.to_owned()));
        Ok(ExecAction::text(argv))
    }

    /// Our module as if it was built for another kvm.ko, in the machine; returns where.
    pub fn module_of_another_build(&self, initramfs: &mut Initramfs) -> Result<String> {
        let path = self.module.as_ref().context("there is no module")?;
        let mut module = fs::read(path).with_context(|| path.display().to_string())?;
        klp_link::insist_on(&mut module, ANOTHER_BUILD).map_err(Error::msg)?;
        let path = "/another-build/kvm_xen_rs.ko".to_owned();
        initramfs.data(&path, &module);
        Ok(path)
    }

    /// The benchmark, to run in the machine.
    pub fn bench(
        &self,
        initramfs: &mut Initramfs,
        detour: &Path,
        arguments: &[String],
    ) -> Result<ExecAction> {
        let path = self.add(initramfs, "kvm-xen-bench")?;
        initramfs.file(DETOUR, detour)?;
        let mut argv = vec![path, format!("--detour={DETOUR}")];
        argv.extend(self.module.as_ref().map(|_| format!("--module={MODULE}")));
        argv.extend_from_slice(arguments);
        Ok(ExecAction::text(argv))
    }

    /// Where our module is in a machine.
    pub fn module_path(&self) -> &'static str {
        MODULE
    }

    /// A Xen guest, to run in the machine, as QEMU and Linux set it up by default.
    pub fn xen_guest(
        &self,
        initramfs: &mut Initramfs,
        smp: u32,
        phases: Vec<Phase>,
        count: bool,
    ) -> Result<GuestAction> {
        self.xen_guest_set_up(initramfs, smp, phases, count, &Setup::USUAL)
    }

    /// The same, set up in another way.
    pub fn xen_guest_set_up(
        &self,
        initramfs: &mut Initramfs,
        smp: u32,
        phases: Vec<Phase>,
        count: bool,
        setup: &Setup,
    ) -> Result<GuestAction> {
        let guest = self.guest(initramfs, ("xen-blkfront", "/dev/xvda"), None)?;
        qemu::add_to(initramfs)?;
        let append = format!("{GUEST_APPEND} {}", setup.append);
        let seen = setup.interrupts.iter();
        Ok(GuestAction {
            qemu: xen_guest(smp, append.trim_end(), setup.has_vapic).arguments(),
            interrupts: seen
                .map(|&(line, counted)| Seen {
                    line: line.to_owned(),
                    counted,
                })
                .collect(),
            disk_mib: DISK_MIB,
            guest,
            phases,
            count,
            transition_limit_s: self.kernel.transition_limit_s(),
        })
    }

    /// A Xen guest that can be moved, on C as it is, to run in the machine.
    pub fn migration(&self, initramfs: &mut Initramfs, cpus: u32) -> Result<MigrateAction> {
        let disk = ("virtio_blk", "/dev/vda");
        let guest = self.guest(initramfs, disk, Some(TIMER_MS))?;
        qemu::add_migratable_to(initramfs)?;
        let append = format!("{GUEST_APPEND} {KEEP_EMULATED}");
        Ok(MigrateAction {
            qemu: xen_guest(cpus, &append, true).migratable(),
            disk_mib: DISK_MIB,
            guest,
            cpus,
            from: Side::C,
            to: Side::C,
            rounds: 1,
        })
    }

    /// Adds what a guest boots, with the plan for it, given the driver of its disk and the device.
    fn guest(
        &self,
        initramfs: &mut Initramfs,
        (driver, device): (&str, &str),
        timer_ms: Option<u32>,
    ) -> Result<GuestPlan> {
        let mut inner = Initramfs::new(self.program("kvm-xen-init")?)?;
        // A guest has the stock kernel, whatever it runs on.
        let stock = Modules::open(&self.paths.kernel.modules())?;
        let modules = inner.modules(&stock, &[driver])?;
        let disk = DiskPlan {
            device: device.into(),
            block: 64 << 10,
            blocks: 16,
            span: 128,
        };
        let guest = GuestPlan {
            modules,
            disk,
            wakes: 100,
            barriers: 100,
            timer_ms,
            telling: TELLING.map(str::to_owned).into(),
        };
        initramfs.data(GUEST_INITRAMFS, &inner.finish(&Plan::Guest(guest.clone())));
        initramfs.file(GUEST_KERNEL, &self.paths.kernel.image())?;
        Ok(guest)
    }

    /// A prompt in the machine.
    pub fn shell(&self, initramfs: &mut Initramfs, greeting: &str) -> Result<ShellAction> {
        initramfs.busybox()?;
        Ok(ShellAction {
            tty: "/dev/ttyS2".into(),
            size: terminal::size(),
            term: std::env::var("TERM").unwrap_or_else(|_| "vt100".into()),
            modules: Vec::new(),
            greeting: greeting.into(),
            guest: None,
        })
    }

    /// Whether there is a module to insert.
    pub fn has_module(&self) -> bool {
        self.module.is_some()
    }

    /// A program of the workspace.
    pub fn program(&self, name: &str) -> Result<&Path> {
        let path = self.programs.get(name);
        Ok(path.with_context(|| format!("cargo has built no {name}"))?)
    }
}

/// A pattern for the case, or test, of this name alone: what is no glob would also be found inside others.
pub fn exactly(case: &str) -> String {
    match case.split_at_checked(1) {
        Some((first, rest)) => format!("[{first}]{rest}"),
        None => case.to_owned(),
    }
}

/// Packs a machine, and shows that.
pub fn pack(initramfs: Initramfs, plan: &MachinePlan, screen: &Screen) -> Vec<u8> {
    let step = screen.step("Packing the machine");
    let bytes = initramfs.finish(&Plan::Machine(plan.clone()));
    let mib = bytes.len() >> 20;
    step.done(&format!("{mib} MiB"));
    bytes
}

#[cfg(test)]
mod tests {
    use super::exactly;
    use glob::Pattern;

    #[test]
    fn a_case_and_no_other() {
        let pattern = Pattern::new(&exactly("ports/send_64")).unwrap();
        assert!(pattern.matches("ports/send_64"));
        assert!(!pattern.matches("ports/send_64_again"));
        assert!(!pattern.matches("all_ports/send_64"));
    }
}
