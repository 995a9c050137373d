// SPDX-License-Identifier: GPL-2.0
//! A Xen guest at work moves from one QEMU to another, and perhaps from one side to the other.
//!
//! It moves by a file, as there is one machine only: QEMU writes the guest's memory while the guest
//! runs on, then what has changed meanwhile, and ends. Then the side in charge is changed, with no
//! VM there, and another QEMU goes on with what is in the file. What a side has saved can be taken
//! over more than once.
//!
//! Between the two the guest stands still for longer than its timers are set, so that their events
//! become pending while no vCPU runs.
//!
//! KVM takes the time of a Xen timer that is set for one of the VM's clock as it is then. QEMU sets
//! the timers first and the clock only when the guest goes on, so a timer comes later by as much as
//! the new VM's clock is behind: by half a minute, where the guest has lived for that long. C and Rust
//! do alike. A timer that is that late can't be told from one that was lost, so the new VM first grows
//! as old as the guest is.

mod account;
mod qmp;

use crate::xen_guest::Guest;
use crate::{channel, image, klog, side};
use account::Account;
use anyhow::{bail, Context, Result};
use protocol::{
    Event, GuestState, MachinePlan, MigrateAction, Outcome, Side, GUEST_DISK, GUEST_QMP,
    GUEST_STATE,
};
use qmp::{Migrated, Qmp};
use std::fs;
use std::os::unix::net::UnixStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The guest's memory and devices, and its disk at that time.
const STATE: &str = "/run/xen-guest.state";
const DISK: &str = "/run/xen-guest.disk-then";

/// How much longer than its timers the guest stands still.
const STILL_MARGIN: Duration = Duration::from_millis(500);

/// How long QEMU may take to write the guest, and to read it.
const MOVE_LIMIT: Duration = Duration::from_secs(90);

/// How long QEMU's monitor may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// How long the guest may take for what is asked of it, and how often we ask QEMU.
const WORK_LIMIT: Duration = Duration::from_secs(90);
const PERIOD: Duration = Duration::from_millis(50);

/// A guest that is in the file.
pub struct Saved {
    /// Who served it.
    by: Side,
    /// All that it had told.
    account: Account,
    /// What its clock stands at, or a little more.
    clock: Duration,
    /// The beginning of the line that it was telling.
    unfinished: Vec<u8>,
}

/// Moves the guest, which has to go on; boots it first, unless that side has saved it before.
pub fn run(
    plan: &MachinePlan,
    action: &MigrateAction,
    limit: Duration,
    kept: &mut Option<Saved>,
) -> Result<Outcome> {
    let deadline = Instant::now() + limit;
    let saved = match kept.take().filter(|saved| saved.by == action.from) {
        Some(saved) => saved,
        None => {
            put_in_charge(plan, action.from)?;
            match save(action, limit).with_context(|| format!("on {}", action.from))? {
                Ok(saved) => saved,
                Err(reason) => return Ok(Outcome::Skip { reason }),
            }
        }
    };
    let saved = kept.insert(saved);
    put_in_charge(plan, action.to)?;
    let left = deadline.saturating_duration_since(Instant::now());
    let last = resume(action, saved, left)
        .with_context(|| format!("moved from {} to {}", action.from, action.to))?;
    image::check(&action.guest.disk, last)?;
    Ok(Outcome::Ok)
}

fn put_in_charge(plan: &MachinePlan, wanted: Side) -> Result<()> {
    side::ensure(wanted, plan.module.as_deref())
        .with_context(|| format!("putting {wanted} in charge"))?;
    side::check(wanted)
}

/// Boots the guest and has it saved in the midst of its work; or says why QEMU refuses that.
fn save(action: &MigrateAction, limit: Duration) -> Result<Result<Saved, String>> {
    note("waiting for the Xen guest to boot");
    image::create(action.disk_mib)?;
    let mut guest = Guest::launch(&action.qemu, Vec::new(), limit)?;
    let mut account = Account::default();
    let timer = Duration::from_millis(action.guest.timer_ms.unwrap_or(0).into());
    let still = timer + STILL_MARGIN;
    let migrated = leave(&mut guest, &mut account, still).inspect_err(|_| guest.abort())?;
    if let Migrated::Refused(reason) = migrated {
        return Ok(Err(reason));
    }
    let (said, unfinished) = guest.left()?;
    said.into_iter().try_for_each(|said| account.take(said))?;
    let (told_at, state) = account.state.clone().context("no state was told")?;
    let clock = Duration::from_nanos(state.clock_ns) + told_at.elapsed();
    fs::copy(GUEST_DISK, DISK).context(DISK)?;
    Ok(Ok(Saved {
        by: action.from,
        account,
        clock,
        unfinished,
    }))
}

/// The guest works until QEMU has written it, and stands still for so long.
fn leave(guest: &mut Guest, account: &mut Account, still: Duration) -> Result<Migrated> {
    guest.boot()?;
    note("waiting for the guest to work");
    // No longer than that: the older the guest, the longer the next VM takes to be as old.
    while account.round == 0 {
        account.take(guest.hear()?)?;
    }
    state(guest, account)?;
    note("QEMU writes the guest at work");
    klog::mark("the guest leaves");
    let mut qmp = connect(guest)?;
    let migrated = qmp.migrate(STATE, still, MOVE_LIMIT)?;
    if migrated == Migrated::Yes {
        qmp.quit()?;
    }
    Ok(migrated)
}

/// Another QEMU goes on with the guest until its end; returns the number of its last round.
fn resume(action: &MigrateAction, saved: &Saved, limit: Duration) -> Result<u32> {
    note("another QEMU takes the guest over");
    klog::mark("the guest comes");
    fs::copy(DISK, GUEST_DISK).context(GUEST_DISK)?;
    let qemu = [&action.qemu[..], &["-incoming", "defer"].map(str::to_owned)].concat();
    let mut guest = Guest::launch(&qemu, saved.unfinished.clone(), limit)?;
    go_on(action, &mut guest, saved).inspect_err(|_| guest.abort())
}

fn go_on(action: &MigrateAction, guest: &mut Guest, saved: &Saved) -> Result<u32> {
    let mut account = saved.account.clone();
    let mut qmp = connect(guest)?;
    // By now there is a VM.
    sleep(saved.clock);
    qmp.take_over(STATE)?;
    let deadline = Instant::now() + MOVE_LIMIT;
    while !qmp
        .is_running()
        .or_else(|error| guest.check_there().and(Err(error)))?
    {
        if Instant::now() > deadline {
            bail!(
                "QEMU has not read the guest within {} s",
                MOVE_LIMIT.as_secs()
            );
        }
        sleep(PERIOD);
    }
    note("the guest goes on");
    let (left_at, left) = account.state.clone().context("no state was told before")?;
    // The first timers are those that were set before.
    work(guest, &mut account, 0, action.cpus)?;
    let (came_at, came) = state(guest, &mut account)?;
    account::moved(&left, &came, came_at - left_at)?;
    work(guest, &mut account, action.rounds, action.cpus)?;
    let (worked_at, worked) = state(guest, &mut account)?;
    account::worked(&came, &worked, worked_at - came_at)?;
    note("waiting for the guest's report and its end");
    guest.finish(account.round, &[])
}

/// Waits for rounds that begin from now on, and for a timer of each processor.
fn work(guest: &mut Guest, account: &mut Account, rounds: u32, cpus: u32) -> Result<()> {
    let before = account.clone();
    let deadline = Instant::now() + WORK_LIMIT;
    loop {
        let missing_timer = (0..cpus as usize).find_map(|cpu| {
            let next = account.last_timer(cpu) + 1;
            let is_missing = next == before.last_timer(cpu) + 1;
            is_missing.then(|| format!("timer {next} of processor {cpu}"))
        });
        // One was running already.
        let is_round_missing = account.round <= before.round + rounds;
        let round = || is_round_missing.then(|| format!("round {}", account.round + 1));
        let Some(missing) = missing_timer.or_else(round) else {
            return Ok(());
        };
        if Instant::now() > deadline {
            let limit = WORK_LIMIT.as_secs();
            bail!("the guest goes on, but not its {missing}, for {limit} s");
        }
        let said = guest
            .hear()
            .with_context(|| format!("waiting for {missing}"))?;
        account.take(said)?;
    }
}

/// Asks the guest how it is.
fn state(guest: &mut Guest, account: &mut Account) -> Result<(Instant, GuestState)> {
    account.state = None;
    guest.tell(GUEST_STATE)?;
    while account.state.is_none() {
        let said = guest
            .hear()
            .context("waiting for the guest to say how it is")?;
        account.take(said)?;
    }
    account.state.clone().context("the state has been told")
}

/// Connects to the monitor of a QEMU that may just have been started.
fn connect(guest: &mut Guest) -> Result<Qmp<UnixStream>> {
    let deadline = Instant::now() + ANSWER_LIMIT;
    let stream = loop {
        match UnixStream::connect(GUEST_QMP) {
            Ok(stream) => break stream,
            Err(error) if Instant::now() > deadline => return Err(error).context(GUEST_QMP),
            Err(_) => guest.check_there()?,
        }
        sleep(PERIOD);
    };
    // While it reads a guest it may not answer.
    stream.set_read_timeout(Some(MOVE_LIMIT))?;
    Qmp::new(stream).or_else(|error| guest.check_there().and(Err(error)))
}

fn note(text: &str) {
    channel::send(&Event::Note { text: text.into() });
}
