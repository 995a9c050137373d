// SPDX-License-Identifier: GPL-2.0
//! The boots that the chosen tests want, and their plans.

use super::catalog::{self, Catalog};
use super::judge::{self, Judge};
use super::Context;
use crate::accel::{Accel, Engine};
use crate::boot::{self, Boot, Ended};
use crate::initramfs::Initramfs;
use crate::parts::{Parts, GUEST_LIMIT_S};
use crate::progress::seconds;
use anyhow::Result;
use protocol::{Action, Event, MachinePlan, Phase, Plan, Side, Step};

/// Seconds that one of upstream's tests may take.
const UPSTREAM_LIMIT_S: u64 = 60;

/// Seconds for all of our selftests; each case has a limit of its own.
const SELFTESTS_LIMIT_S: u64 = 300;

/// Seconds that inserting ten times may take, or the like.
const LIFECYCLE_LIMIT_S: u64 = 120;

/// How often the module is inserted and removed.
const REINSERT: u32 = 10;

/// Rounds of the Xen guest's work in each phase.
const GUEST_ROUNDS: u32 = 5;

/// A boot that is wanted.
pub struct Wanted {
    /// Names it, and its logs.
    pub name: &'static str,
    /// What is to be done in it.
    pub plan: MachinePlan,
    memory_mib: u32,
    initramfs: Initramfs,
}

/// Boots what the chosen tests want, one boot after the other, and judges each.
pub fn run(context: &Context, catalog: &Catalog, parts: &Parts, engine: &Engine) -> Result<()> {
    let mut accel = engine.accel;
    let mut logs = Vec::new();
    for wanted in [short(catalog, parts)?, guest(context, catalog, parts)?] {
        if wanted.plan.steps.is_empty() {
            continue;
        }
        let Wanted {
            name,
            plan,
            memory_mib,
            initramfs,
        } = wanted;
        let initramfs = initramfs.finish(&Plan::Machine(plan.clone()));
        let mut boot = Boot {
            name,
            engine,
            accel,
            kernel: &parts.paths.kernel,
            append: "",
            smp: 2,
            memory_mib,
            initramfs,
            plan: &plan,
            limit_s: context.common.timeout,
            terminal: None,
        };
        let mut judge = Judge::new(context.report, &plan);
        let mut ended = once(context, &mut boot, &mut judge)?;
        if accel == Accel::Kvm && !ended.came_up() {
            // It could run a VM, yet not this one.
            context
                .screen
                .line("# the machine did not come up under KVM: emulation from here on");
            accel = Accel::Tcg;
            boot.accel = accel;
            ended = once(context, &mut boot, &mut judge)?;
        }
        let took = seconds(ended.took);
        context
            .screen
            .line(format!("# machine {name} was off after {took}"));
        judge.end(ended.fault.as_deref());
        logs.push(judge::Log::new(name, &ended));
    }
    judge::logs(context.report, &logs);
    Ok(())
}

fn once(context: &Context, boot: &mut Boot, judge: &mut Judge) -> Result<Ended> {
    let step = context.screen.step(format!("Machine {}", boot.name));
    boot::run(boot, &context.paths.logs, &mut |event| {
        if let Event::Begin { id } = event {
            step.note(id.as_str());
        }
        judge.event(event);
    })
}

/// Everything short, in one boot: first on C, then on Rust.
fn short(catalog: &Catalog, parts: &Parts) -> Result<Wanted> {
    let (mut initramfs, mut plan) = parts.machine()?;
    for side in [Side::C, Side::Rust] {
        for (_, test) in catalog.upstream.iter().filter(|(s, _)| *s == side) {
            plan.steps.push(Step {
                id: catalog::upstream(side, test),
                side: Some(side),
                limit_s: UPSTREAM_LIMIT_S,
                action: Action::Exec(parts.upstream(&mut initramfs, test)?),
            });
        }
        for (_, cases) in catalog.selftests.iter().filter(|(s, _)| *s == side) {
            plan.steps.push(Step {
                id: catalog::selftests(side),
                side: Some(side),
                limit_s: SELFTESTS_LIMIT_S,
                action: Action::Exec(parts.selftests(&mut initramfs, cases)?),
            });
        }
    }
    for name in &catalog.lifecycle {
        let action = match *name {
            "reinsert" => Action::Reinsert { times: REINSERT },
            _ => Action::InsertBeforeKvm {
                proof: parts.upstream(&mut initramfs, "xen_vmcall_test")?,
            },
        };
        plan.steps.push(Step {
            id: format!("lifecycle/{name}"),
            side: None,
            limit_s: LIFECYCLE_LIMIT_S,
            action,
        });
    }
    Ok(Wanted {
        name: "short",
        plan,
        memory_mib: 1024,
        initramfs,
    })
}

/// The Xen guest, in a machine of its own.
fn guest(context: &Context, catalog: &Catalog, parts: &Parts) -> Result<Wanted> {
    let (mut initramfs, mut plan) = parts.machine()?;
    if catalog.guest {
        let sides: &[Side] = match context.common.no_module {
            true => &[Side::C],
            false => &[Side::Rust, Side::C, Side::Rust],
        };
        let phases = sides.iter().map(|&side| Phase {
            side,
            rounds: GUEST_ROUNDS,
        });
        plan.steps.push(Step {
            id: "guest/xen-hvm".into(),
            side: None,
            limit_s: GUEST_LIMIT_S,
            action: Action::Guest(parts.xen_guest(&mut initramfs, phases.collect(), true)?),
        });
    }
    Ok(Wanted {
        name: "xen-guest",
        plan,
        memory_mib: 1536,
        initramfs,
    })
}
