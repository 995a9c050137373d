// SPDX-License-Identifier: GPL-2.0
//! Booting the machines of the chosen tests, as many at a time as keep the processors busy.

use super::catalog::MAIN;
use super::catalog::{self, Catalog};
use super::context::Context;
use super::judge::{self, Judge};
use super::machines::{self, Machine, Test, Which};
use crate::accel::{Accel, Engine};
use crate::boot::{self, Boot, Ended};
use crate::cli::Common;
use crate::parts::{Parts, Programs};
use crate::paths::{Kernel, Paths};
use crate::progress::seconds;
use crate::report::Verdict;
use anyhow::{Context as _, Result};
use protocol::{Event, Plan};
use std::collections::{HashMap, VecDeque};
use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// However many processors there are.
const MAX_AT_ONCE: usize = 4;

/// Memory that a machine may take, in KiB.
const MEMORY_KIB: usize = 3 << 20;

/// How many machines to run at once: one more than there are processors, as each waits for a third of
/// its time, for timers and grace periods; and fewer, where /proc/meminfo says that memory is short.
fn at_once(processors: usize, meminfo: &str) -> usize {
    let fit = available_kib(meminfo).map_or(MAX_AT_ONCE, |available| available / MEMORY_KIB);
    (processors + 1).min(fit).clamp(1, MAX_AT_ONCE)
}

/// What /proc/meminfo says there is.
fn available_kib(meminfo: &str) -> Option<usize> {
    let mut lines = meminfo.lines();
    let value = lines.find_map(|line| line.strip_prefix("MemAvailable:"))?;
    value.trim().strip_suffix(" kB")?.parse().ok()
}

/// A kernel that tests want.
pub struct Wanted {
    /// Which it is.
    pub which: Which,
    /// The kernel.
    pub kernel: Kernel,
    /// Whether they want our module for it.
    pub wants_module: bool,
}

/// Our module, by kernel.
pub type Modules = HashMap<Which, PathBuf>;

/// What machines are made of, by kernel.
pub struct Kernels<'a>(Vec<(Which, Parts<'a>)>);

impl<'a> Kernels<'a> {
    /// For these kernels, with our module where it is built.
    pub fn new(
        paths: &'a Paths,
        common: &Common,
        programs: &Programs,
        kernels: Vec<Wanted>,
        modules: &Modules,
    ) -> Result<Self> {
        let parts = kernels.into_iter().map(|wanted| {
            let module = modules.get(&wanted.which).cloned();
            let parts = Parts::new(paths, common, wanted.kernel, programs, module)?;
            Ok((wanted.which, parts))
        });
        Ok(Kernels(parts.collect::<Result<_>>()?))
    }

    /// What machines of that kernel are made of.
    fn parts(&self, which: Which) -> Result<&Parts<'a>> {
        let mut parts = self.0.iter();
        let found = parts.find(|(of, _)| *of == which);
        Ok(&found.context("no such kernel")?.1)
    }

    /// What was booted.
    pub fn table(&self) -> Vec<String> {
        let what = |which: Which| match which {
            MAIN => "all tests",
            Which::Main(_) => "tests on debug kernels",
            Which::Beside(_) => "a part of them",
        };
        let lines = self.0.iter();
        lines
            .map(|(which, parts)| format!("Linux {}: {}", parts.kernel.label, what(*which)))
            .collect()
    }
}

/// Something that keeps one processor busy.
enum Job<'a> {
    /// What needs no machine.
    Host(Box<dyn FnOnce() + Send + 'a>),
    Boot(&'a dyn Machine, &'a [Test]),
}

/// Boots the machines of the chosen tests and judges each; does `host`, the longest of all, beside
/// them, and `alarms`. No job keeps more than one processor busy, most of the time.
pub fn run<'a>(
    context: &Context,
    catalog: &'a Catalog,
    kernels: &Kernels,
    engine: &Engine,
    alarms: impl FnOnce() + Send + 'a,
    host: impl FnOnce() + Send + 'a,
) {
    let mut jobs: VecDeque<Job> = VecDeque::from([Job::Host(Box::new(host))]);
    let machines = catalog.machines.iter();
    jobs.extend(machines.map(|(machine, tests)| Job::Boot(*machine, tests)));
    // Neither at first, when `host` keeps cargo busy, nor last, when a processor may be idle.
    jobs.insert(jobs.len().div_ceil(2), Job::Host(Box::new(alarms)));
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let workers = at_once(processors, &meminfo).min(jobs.len());
    let jobs = Mutex::new(jobs);
    let boots = Boots {
        context,
        kernels,
        engine,
        accel: Mutex::new(engine.accel),
        logs: Mutex::new(Vec::new()),
    };
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| while boots.next(&jobs) {});
        }
    });
    let logs = boots.logs.into_inner();
    judge::logs(
        context.report,
        &logs.unwrap_or_else(PoisonError::into_inner),
    );
}

struct Boots<'a> {
    context: &'a Context<'a>,
    kernels: &'a Kernels<'a>,
    engine: &'a Engine,
    /// Emulation, as soon as KVM has failed once.
    accel: Mutex<Accel>,
    logs: Mutex<Vec<judge::Log>>,
}

impl Boots<'_> {
    /// Does the next job, if there is one.
    fn next(&self, jobs: &Mutex<VecDeque<Job>>) -> bool {
        let job = lock(jobs).pop_front();
        match job {
            None => return false,
            Some(Job::Host(host)) => host(),
            Some(Job::Boot(machine, tests)) => {
                if let Err(error) = self.machine(machine, tests) {
                    let verdict = Verdict::NotOk(format!("{error:#}"), Vec::new());
                    let name = format!("boot/{}", machine.name());
                    self.context.report.add(&name, verdict, None);
                }
            }
        }
        true
    }

    fn machine(&self, machine: &dyn Machine, tests: &[Test]) -> Result<()> {
        let parts = self.kernels.parts(machine.kernel())?;
        let machines::Wanted {
            plan,
            memory_mib,
            initramfs,
            expected,
            failed,
        } = machine.prepare(&catalog::chosen(tests), parts)?;
        for (name, reason) in failed {
            let verdict = Verdict::NotOk(reason, Vec::new());
            self.context.report.add(&name, verdict, None);
        }
        let name = machine.name();
        let accel = *lock(&self.accel);
        let mut boot = Boot {
            name,
            engine: self.engine,
            accel,
            kernel: &parts.kernel,
            append: machine.append(),
            smp: machine.smp(),
            memory_mib,
            initramfs: initramfs.finish(&Plan::Machine(plan.clone())),
            plan: &plan,
            limit_s: self.context.common.timeout,
            terminal: None,
        };
        let mut judge = Judge::new(self.context.report, &plan, &expected);
        let mut ended = self.once(&mut boot, &mut judge)?;
        if accel == Accel::Kvm && !ended.came_up() {
            // It could run a VM, yet not this one.
            self.context
                .screen
                .line("# the machine did not come up under KVM: emulation from here on");
            *lock(&self.accel) = Accel::Tcg;
            boot.accel = Accel::Tcg;
            ended = self.once(&mut boot, &mut judge)?;
        }
        let took = seconds(ended.took);
        self.context
            .screen
            .line(format!("# machine {name} was off after {took}"));
        judge.end(&ended);
        lock(&self.logs).push(judge::Log::new(machine, &expected, &ended));
        Ok(())
    }

    fn once(&self, boot: &mut Boot, judge: &mut Judge) -> Result<Ended> {
        let step = self.context.screen.step(format!("Machine {}", boot.name));
        boot::run(boot, &self.context.paths.logs, &mut |event| {
            if let Event::Begin { id } = event {
                step.note(id.as_str());
            }
            judge.event(event);
        })
    }
}

/// A panic elsewhere is told there.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_run_as_there_is_room_for() {
        let of = |gib: usize| format!("MemTotal: 9 kB\nMemAvailable:   {} kB\n", gib << 20);
        assert_eq!(at_once(2, &of(23)), 3);
        assert_eq!(at_once(2, &of(7)), 2);
        assert_eq!(at_once(2, &of(1)), 1);
        assert_eq!(at_once(64, &of(256)), MAX_AT_ONCE);
        assert_eq!(at_once(1, "MemTotal: 9 kB\n"), 2);
    }
}
