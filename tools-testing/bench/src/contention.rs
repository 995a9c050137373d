// SPDX-License-Identifier: GPL-2.0
//! Many senders at once, while what they send through changes: how many events could not be delivered
//! where they were sent, or had to wait.

use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use protocol::{to_line, Beside, Contention, Crowd, Sent, Server};
use vmm_sys_util::eventfd::EventFd;

use harness::abi::Abi;
use harness::check::check;
use harness::irqfd::{Irqfd, Route};
use harness::machine::{Machine, SHARED_INFO_PAGE};
use harness::outcome::{fail, Outcome};
use harness::port::Port;
use livepatch::inserted::Inserted;
use livepatch::kprobes::Probes;

use crate::told;

/// Senders and ports.
const SIZES: [(u32, u32); 3] = [(1, 1), (16, 1), (16, 16)];
/// Events of each sender.
const EVENTS: u32 = 2000;
/// The line of the first sender.
const GSI: u32 = 40;
/// Between two changes.
const PAUSE: Duration = Duration::from_micros(200);

/// What has the workqueue deliver an event of an irqfd; what maps shared_info; and what waits for a
/// writer of its lock.
const COUNTED: [(&str, &str); 3] = [
    ("irqfd_inject", "kvm:irqfd_inject"),
    ("kvm_gpc_refresh", "kvm:kvm_gpc_refresh"),
    ("queued_read_lock_slowpath", "queued_read_lock_slowpath"),
];

/// Has all kinds of senders send, on C and with the module in `file`, and prints what is counted.
pub fn run(file: Option<&str>) -> Result<()> {
    let places = COUNTED.map(|(function, place)| (function.to_owned(), place.to_owned()));
    let probes = Probes::at(places)?;
    count(Server::C, &probes)?;
    if let Some(inserted) = file.map(Inserted::insert).transpose()? {
        count(Server::Rust, &probes)?;
        inserted.remove()?;
    }
    Ok(())
}

fn count(server: Server, probes: &Probes) -> Result<()> {
    for beside in [Beside::Ports, Beside::Pages] {
        for sent in [Sent::Ioctl, Sent::Irqfd, Sent::OtherProcess] {
            for (senders, ports) in SIZES {
                let crowd = Crowd {
                    sent,
                    beside,
                    senders,
                    ports,
                };
                let before = hits(probes)?;
                let changes = send(crowd).map_err(|stop| told("contention", server, stop))?;
                let after = hits(probes)?;
                let during = |nr: usize| after[nr] - before[nr];
                let contention = Contention {
                    crowd,
                    server,
                    events: u64::from(senders * EVENTS),
                    changes,
                    bounced: during(0),
                    refreshed: during(1),
                    waited: during(2),
                };
                print!("{}", to_line(&contention));
            }
        }
    }
    Ok(())
}

/// How often each of [`COUNTED`] was called.
fn hits(probes: &Probes) -> Result<Vec<u64>> {
    let counts = probes.read()?.into_iter();
    let hits = counts.map(|count| {
        let refused = || format!("the kernel refuses a probe at {}", count.function);
        count.entries.with_context(refused)
    });
    hits.collect()
}

/// Has a crowd send; returns how often something was changed beside it.
fn send(crowd: Crowd) -> Outcome<u64> {
    let machine = Machine::builder(Abi::Bits64).vcpus(&[0, 1]).build()?;
    let port = |sender| 1 + sender % crowd.ports;
    for port in 1..=crowd.ports {
        machine.vm.assign(Port::ipi(port, 0))?;
    }
    let senders = 0..crowd.senders;
    let routes = senders
        .clone()
        .map(|sender| Route::new(GSI + sender, port(sender), 0));
    machine.vm.set_routes(&routes.collect::<Vec<_>>())?;
    let irqfds = senders.clone().map(|sender| machine.vm.irqfd(GSI + sender));
    let irqfds = irqfds.collect::<Outcome<Vec<_>>>()?;
    let is_over = AtomicBool::new(false);
    let changes = thread::scope(|scope| {
        let changes = scope.spawn(|| change(&machine, crowd, &is_over));
        let threads = senders.zip(&irqfds).map(|(sender, irqfd)| {
            let machine = &machine;
            scope.spawn(move || send_one(machine, crowd.sent, port(sender), irqfd))
        });
        let threads: Vec<_> = threads.collect();
        let sent: Outcome = threads.into_iter().try_for_each(|thread| joined(thread)?);
        is_over.store(true, Ordering::SeqCst);
        sent.and(joined(changes)?)
    })?;
    // What is left to the workqueue is delivered before this returns.
    for irqfd in irqfds {
        irqfd.finish(&machine.vm)?;
    }
    Ok(changes)
}

/// Sends the events of one sender.
fn send_one(machine: &Machine, sent: Sent, port: u32, irqfd: &Irqfd) -> Outcome {
    match sent {
        Sent::Ioctl => (0..EVENTS).try_for_each(|_| Ok(machine.vm.send(port, 0)?)),
        Sent::Irqfd => (0..EVENTS).try_for_each(|_| irqfd.signal()),
        Sent::OtherProcess => {
            let signal = format!("--signal={}", irqfd.as_raw_fd());
            let status = Command::new("/proc/self/exe").arg(signal).status()?;
            check("the other process to succeed", status.success())
        }
    }
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, T>) -> Outcome<T> {
    thread.join().map_err(|_| fail("a thread panicked"))
}

/// Has events be new, and changes one thing after the other until it is over.
fn change(machine: &Machine, crowd: Crowd, is_over: &AtomicBool) -> Outcome<u64> {
    let mut changes = 0;
    while !is_over.load(Ordering::SeqCst) {
        machine.clear_events();
        let port = 1 + (changes / 4) as u32 % crowd.ports;
        match (crowd.beside, changes % 4) {
            (Beside::Pages, _) => machine.area.discard(SHARED_INFO_PAGE)?,
            (Beside::Ports, 0) => machine.vm.update(Port::ipi(port, 1))?,
            (Beside::Ports, 1) => machine.vm.update(Port::ipi(port, 0))?,
            (Beside::Ports, 2) => machine.vm.deassign(port)?,
            (Beside::Ports, _) => machine.vm.assign(Port::ipi(port, 0))?,
        }
        changes += 1;
        thread::sleep(PAUSE);
    }
    Ok(changes)
}

/// What another process does with an eventfd that it has by number.
pub fn signal(eventfd: RawFd) -> Result<()> {
    // SAFETY: it was inherited for this, and nobody else uses it in this process.
    let eventfd = unsafe { EventFd::from_raw_fd(eventfd) };
    for _ in 0..EVENTS {
        eventfd.write(1)?;
    }
    Ok(())
}
