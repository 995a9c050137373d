// SPDX-License-Identifier: GPL-2.0
//! Inside the Xen guest: rounds of disk I/O and inter-processor interrupts until told to end.

use crate::disk::Disk;
use crate::{channel, ipi, klog, kmod, system, timers};
use anyhow::{Context, Result};
use protocol::{
    GuestEvent, GuestPlan, GuestReport, GuestState, IrqLine, Round, GUEST_FINISH, GUEST_STATE,
};
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Does the plan.
pub fn run(plan: &GuestPlan) -> Result<()> {
    static FINISH: AtomicBool = AtomicBool::new(false);
    let words = channel::incoming()?;
    thread::spawn(move || {
        for word in words {
            match word.trim() {
                GUEST_FINISH => FINISH.store(true, Ordering::Relaxed),
                GUEST_STATE => channel::send(&state().map_or_else(failed, GuestEvent::State)),
                _ => {}
            }
        }
    });
    // By this line, and the last one, the machine that we run in knows that it would see a warning.
    klog::mark("the guest is up");
    for module in &plan.modules {
        kmod::load(module)?;
    }
    channel::send(&GuestEvent::Up {
        hypervisor: system::read("/sys/hypervisor/type"),
        version: xen_version(),
        cpus: system::cpus(),
        clocksource: system::read(
            "/sys/devices/system/clocksource/clocksource0/current_clocksource",
        ),
        uptime_ms: system::uptime().as_millis() as u64,
    });
    if let Some(ms) = plan.timer_ms {
        timers::start(Duration::from_millis(ms.into()))?;
    }
    let mut disk = Disk::open(&plan.disk)?;
    for number in 1.. {
        let round =
            one_round(plan, &mut disk, number).with_context(|| format!("round {number}"))?;
        channel::send(&GuestEvent::Round(round));
        if FINISH.load(Ordering::Relaxed) {
            break;
        }
    }
    klog::mark("the guest is done");
    channel::send(&GuestEvent::Report(GuestReport {
        interrupts: xen_interrupts()?,
        dmesg: kernel_log(&plan.telling),
    }));
    Ok(())
}

fn one_round(plan: &GuestPlan, disk: &mut Disk, number: u32) -> Result<Round> {
    let begun = Instant::now();
    let before = ipis()?;
    let disk_bytes = disk.round(number)?;
    ipi::wake(plan.wakes)?;
    ipi::barrier(plan.barriers)?;
    Ok(Round {
        number,
        disk_bytes,
        ipis: ipis()? - before,
        ms: begun.elapsed().as_millis() as u64,
    })
}

/// How we are, at any time.
fn state() -> Result<GuestState> {
    Ok(GuestState {
        clock_ns: timers::now()?.as_nanos() as u64,
        stolen_ms: system::stolen()
            .iter()
            .map(|time| time.as_millis() as u64)
            .collect(),
        interrupts: xen_interrupts()?,
    })
}

fn failed(error: anyhow::Error) -> GuestEvent {
    GuestEvent::Failed {
        reason: format!("{error:#}"),
    }
}

fn xen_interrupts() -> Result<Vec<IrqLine>> {
    Ok(interrupts()?.into_iter().filter(IrqLine::is_xen).collect())
}

fn interrupts() -> Result<Vec<IrqLine>> {
    let cpus = system::cpus();
    let text = fs::read_to_string("/proc/interrupts").context("/proc/interrupts")?;
    Ok(text
        .lines()
        .filter_map(|line| IrqLine::parse(line, cpus))
        .collect())
}

/// Interrupts between processors since boot.
fn ipis() -> Result<u64> {
    let lines = interrupts()?;
    Ok(lines
        .iter()
        .filter(|line| line.is_ipi())
        .flat_map(|line| &line.counts)
        .sum())
}

fn xen_version() -> String {
    let part = |name| system::read(&format!("/sys/hypervisor/version/{name}"));
    format!("{}.{}", part("major"), part("minor"))
}

/// Lines of the kernel log that begin so. One read of /dev/kmsg is one message, which begins
/// with numbers up to a semicolon; properties follow in lines of their own, and further lines of
/// the message itself after an escaped newline.
fn kernel_log(beginnings: &[String]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let Ok(mut kmsg) = options.open("/dev/kmsg") else {
        return lines;
    };
    let mut record = [0; 8192];
    while let Ok(length @ 1..) = kmsg.read(&mut record) {
        let record = String::from_utf8_lossy(&record[..length]);
        let message = record.split_once(';').map_or("", |(_, message)| message);
        let message = message.lines().next().unwrap_or_default();
        let message = message.split("\\x0a").next().unwrap_or_default();
        if beginnings
            .iter()
            .any(|beginning| message.starts_with(beginning))
        {
            lines.push(message.to_owned());
        }
    }
    lines
}
