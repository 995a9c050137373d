// SPDX-License-Identifier: GPL-2.0
//! A Xen guest at work while the side in charge changes under it.

use crate::kprobes::{self, Probes};
use crate::xen_guest::Guest;
use crate::{channel, image, klog, livepatch, side};
use anyhow::{bail, Context, Result};
use protocol::{Event, GuestAction, MachinePlan, Phase, Probe, Side, Tried};
use std::time::{Duration, Instant};

/// Boots the guest, takes it through the phases, has it power off, and looks at its disk.
pub fn run(plan: &MachinePlan, action: &GuestAction, limit: Duration) -> Result<()> {
    let first = action.phases.first().context("a guest without phases")?;
    side::ensure(first.side, plan.module.as_deref())?;
    let begun = Instant::now();
    let mut probes = None;
    count(&mut probes, action, first.side)?;
    let mut guest = Guest::start(action, limit)?;
    let last = boot(&mut guest)
        .and_then(|last| {
            channel::send(&Event::Booted {
                side: first.side,
                ms: begun.elapsed().as_millis() as u64,
                probes: read(&probes)?,
            });
            all(&mut guest, plan, action, &mut probes, last)
        })
        .inspect_err(|_| guest.abort())?;
    drop(guest);
    image::check(&action.guest.disk, last)
}

/// Has entries of the functions that Rust replaces counted from now on, if that is wanted and Rust is
/// in charge: the livepatch lists them. The probes stay, as each takes a while to be set.
fn count(probes: &mut Option<Probes>, action: &GuestAction, side: Side) -> Result<()> {
    if action.count && side == Side::Rust && probes.is_none() {
        *probes = Some(Probes::of_kvm(&livepatch::functions())?);
    }
    Ok(())
}

/// What has been counted so far.
fn read(probes: &Option<Probes>) -> Result<Vec<Probe>> {
    probes.as_ref().map_or(Ok(Vec::new()), Probes::read)
}

/// Returns the number of the guest's first round, which shows that its disk is there.
fn boot(guest: &mut Guest) -> Result<u32> {
    note("waiting for the Xen guest to boot");
    guest.boot()?;
    Ok(guest.round()?.number)
}

/// Returns the number of the guest's last round.
fn all(
    guest: &mut Guest,
    plan: &MachinePlan,
    action: &GuestAction,
    probes: &mut Option<Probes>,
    mut last: u32,
) -> Result<u32> {
    for (index, phase) in action.phases.iter().enumerate() {
        let transition = side::ensure(phase.side, plan.module.as_deref())
            .with_context(|| format!("putting {} in charge with the guest running", phase.side))?;
        if let Some(took) = transition {
            judge(
                took,
                Duration::from_secs(action.transition_limit_s),
                phase.side,
            )?;
        }
        count(probes, action, phase.side)?;
        note(&format!("{} serves the guest at work", phase.side));
        klog::mark(&format!("phase {index} {}", phase.side));
        last = one(guest, index, phase, probes, last)?;
    }
    note("waiting for the guest's report and its end");
    guest.finish(last, &action.interrupts)
}

/// Counts a transition; fails if it took too long.
fn judge(took: Duration, limit: Duration, to: Side) -> Result<()> {
    let is_late = took > limit;
    let tried = Tried {
        count: 1,
        what: "transitions".into(),
        failed: is_late.into(),
    };
    channel::send(&Event::Output {
        line: tried.to_string(),
    });
    if is_late {
        bail!(
            "the transition to {to} took {:.1} s with the guest running, and must end within {} s",
            took.as_secs_f64(),
            limit.as_secs()
        );
    }
    Ok(())
}

/// Waits for the phase's rounds, given the number of the last one told before; returns that of
/// the last one in it.
fn one(
    guest: &mut Guest,
    index: usize,
    phase: &Phase,
    probes: &Option<Probes>,
    before: u32,
) -> Result<u32> {
    let begun = Instant::now();
    let counted = read(probes)?;
    // The round that runs now began before this phase, so it doesn't count.
    let running = guest.told()?.map_or(before, |round| round.number) + 1;
    let mut last = running;
    let (mut rounds, mut disk_bytes, mut ipis) = (0, 0, 0);
    while rounds < phase.rounds {
        let round = guest.round()?;
        last = round.number;
        if last > running {
            rounds += 1;
            disk_bytes += round.disk_bytes;
            ipis += round.ipis;
        }
    }
    let counted = kprobes::between(&counted, &read(probes)?);
    let entries: u64 = counted.iter().filter_map(|probe| probe.entries).sum();
    channel::send(&Event::Phase {
        index,
        side: phase.side,
        ms: begun.elapsed().as_millis() as u64,
        rounds,
        disk_bytes,
        ipis,
        probes: counted,
    });
    if probes.is_some() && entries == 0 {
        bail!("the guest worked, yet entered none of the functions that are replaced");
    }
    if phase.side == Side::Rust {
        livepatch::check()?;
    }
    Ok(last)
}

fn note(text: &str) {
    channel::send(&Event::Note { text: text.into() });
}
