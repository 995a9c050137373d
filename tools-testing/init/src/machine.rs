// SPDX-License-Identifier: GPL-2.0
//! The machine that KVM and our module run in: its steps, one after the other.

use crate::migration::{self, Saved};
use crate::{
    channel, debug_kernel, exec, klog, kvm, lifecycle, livepatch, phases, shell, side, system,
};
use anyhow::{Context, Result};
use protocol::{Action, Event, MachinePlan, Outcome, Step};
use std::fs;
use std::time::{Duration, Instant};

/// Does the plan.
pub fn run(plan: &MachinePlan) -> Result<()> {
    // The console shows warnings only while the kernel boots: the serial port is slow.
    fs::write("/proc/sys/kernel/printk", "8").context("printk")?;
    channel::send(&Event::Up {
        release: system::read("/proc/sys/kernel/osrelease"),
        cpus: system::cpus(),
        uptime_ms: system::uptime().as_millis() as u64,
    });
    klog::in_charge(side::current());
    kvm::load(&plan.kvm)?;
    // A guest may be moved more than once from where it was.
    let mut saved = None;
    for step in &plan.steps {
        run_step(plan, step, &mut saved);
    }
    livepatch::coverage::keep()?;
    let counts = livepatch::coverage::counted()?;
    if !counts.is_empty() {
        channel::send(&Event::Counted { counts });
    }
    klog::mark("done");
    channel::send(&Event::Done);
    Ok(())
}

fn run_step(plan: &MachinePlan, step: &Step, saved: &mut Option<Saved>) {
    klog::mark(&format!("begin {}", step.id));
    channel::send(&Event::Begin {
        id: step.id.clone(),
    });
    let begun = Instant::now();
    let outcome = act(plan, step, saved).unwrap_or_else(|error| Outcome::Failed {
        reason: format!("{error:#}"),
    });
    klog::mark(&format!("end {}", step.id));
    channel::send(&Event::End {
        id: step.id.clone(),
        outcome,
        ms: begun.elapsed().as_millis() as u64,
    });
}

fn act(plan: &MachinePlan, step: &Step, saved: &mut Option<Saved>) -> Result<Outcome> {
    if let Some(wanted) = step.side {
        side::ensure(wanted, plan.module.as_deref())
            .with_context(|| format!("putting {wanted} in charge"))?;
        side::check(wanted)?;
    }
    let outcome = do_it(plan, step, saved)?;
    // What it has begun on it ends on, too.
    if let (Some(side), Outcome::Ok) = (step.side, &outcome) {
        side::check(side).context("at the end of it")?;
    }
    Ok(outcome)
}

fn do_it(plan: &MachinePlan, step: &Step, saved: &mut Option<Saved>) -> Result<Outcome> {
    let limit = Duration::from_secs(step.limit_s);
    match &step.action {
        Action::Exec(exec) => exec::run(exec, limit),
        Action::Guest(guest) => done(phases::run(plan, guest, limit)),
        Action::Migrate(migrate) => migration::run(plan, migrate, limit, saved),
        Action::Reinsert { times } => done(lifecycle::reinsert(plan, *times)),
        Action::RefuseBuild { module } => done(lifecycle::refuse_build(plan, module)),
        Action::InsertBeforeKvm { proof } => done(lifecycle::insert_before_kvm(plan, proof, limit)),
        Action::InsertWith { parameters, proof } => {
            lifecycle::insert_with(plan, parameters, proof, limit)
        }
        Action::Lockdep => done(debug_kernel::lockdep()),
        Action::Kmemleak => done(debug_kernel::kmemleak()),
        Action::Read { path } => done(debug_kernel::read(path)),
        Action::Shell(shell) => done(shell::run(plan, shell)),
    }
}

fn done(result: Result<()>) -> Result<Outcome> {
    result.map(|()| Outcome::Ok)
}
