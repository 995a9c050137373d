// SPDX-License-Identifier: GPL-2.0
//! Booting the machines of the chosen tests, as many at a time as there are processors for.

use super::catalog::{self, Catalog};
use super::judge::{self, Judge};
use super::machines::{Machine, Test, Wanted};
use super::Context;
use crate::accel::{Accel, Engine};
use crate::boot::{self, Boot, Ended};
use crate::parts::Parts;
use crate::progress::seconds;
use crate::report::Verdict;
use anyhow::Result;
use protocol::{Event, Plan};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// However many processors there are: machines take memory, too.
const MAX_AT_ONCE: usize = 4;

/// What machines are made of, for either kernel; `None` where nothing boots it.
pub struct Kernels<'a> {
    pub stock: Parts<'a>,
    pub debug: Option<Parts<'a>>,
}

/// Something that keeps one processor busy.
enum Job<'a> {
    /// What needs no machine.
    Host(Box<dyn FnOnce() + Send + 'a>),
    Boot(&'static dyn Machine, &'a [Test]),
}

/// Boots the machines of the chosen tests and judges each; does `host`, the longest of all, beside
/// them. Each job keeps one processor busy, most of the time.
pub fn run<'a>(
    context: &Context,
    catalog: &'a Catalog,
    kernels: &Kernels,
    engine: &Engine,
    host: impl FnOnce() + Send + 'a,
) {
    let mut jobs: VecDeque<Job> = VecDeque::from([Job::Host(Box::new(host))]);
    let machines = catalog.machines.iter();
    jobs.extend(machines.map(|(machine, tests)| Job::Boot(*machine, tests)));
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let workers = workers.min(MAX_AT_ONCE).min(jobs.len());
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
        let stock = &self.kernels.stock;
        let parts = match &self.kernels.debug {
            Some(debug) if machine.is_debug() => debug,
            _ => stock,
        };
        let Wanted {
            plan,
            memory_mib,
            initramfs,
            expected,
        } = machine.prepare(&catalog::chosen(tests), parts)?;
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
