// SPDX-License-Identifier: GPL-2.0
//! VMs that are killed in the middle of a storm.
//!
//! What is left is what others have: the account is in memory that the killed
//! process shared, and the guest's events went to an eventfd that is still there.

use std::os::fd::AsRawFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

use fastrand::Rng;
use harness::child::{abandon, step};
use harness::outcome::{fail, Outcome};
use harness::stacks::kernel_stacks;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::{waitpid, WaitPidFlag, WaitStatus};
use nix::unistd::{fork, ForkResult, Pid};
use vmm_sys_util::eventfd::{EventFd, EFD_NONBLOCK};

use crate::book::Book;
use crate::churn::Churn;
use crate::line::{senders, Pace};
use crate::plan::Plan;
use crate::storms::{tell, tell_tried, Setting};
use crate::watch::PATIENCE;
use crate::world::{World, GSI};

/// vCPUs of each VM.
const VCPUS: usize = 2;

/// What all the VMs came to.
#[derive(Default)]
struct Sums {
    vms: u64,
    sent: u64,
    got: u64,
    signals: u64,
    taken: u64,
}

/// Makes VMs and kills them, for the time that is set.
pub fn storm(setting: &Setting) -> Outcome {
    let begun = Instant::now();
    let mut rng = Rng::with_seed(setting.seed);
    let mut sums = Sums::default();
    while begun.elapsed() < setting.time || sums.vms == 0 {
        one(&mut rng, &mut sums)?;
    }
    tell(&format!(
        "{} VMs killed: their guests took {} events, and sent {} to an eventfd, which got {}; \
         {} signals to their irqfds, before and after",
        sums.vms, sums.taken, sums.sent, sums.got, sums.signals
    ));
    tell_tried(sums.vms, "VMs killed", 0);
    Ok(())
}

fn one(rng: &mut Rng, sums: &mut Sums) -> Outcome {
    let book = Book::new()?;
    let from_guest = EventFd::new(EFD_NONBLOCK)?;
    let to_guest = EventFd::new(EFD_NONBLOCK)?;
    let seed = rng.u64(..);
    // SAFETY: this process has no other threads: those of a storm are in children.
    let child = match unsafe { fork() }? {
        ForkResult::Child => victim(book, &from_guest, &to_guest, seed),
        ForkResult::Parent { child } => child,
    };
    step("a VM to begin");
    let begun = Instant::now();
    while book.total() == 0 {
        if begun.elapsed() > PATIENCE {
            return Err(fail(format!(
                "no event was seen by a new guest\n{}",
                kernel_stacks(child)
            )));
        }
        if waitpid(child, Some(WaitPidFlag::WNOHANG))? != WaitStatus::StillAlive {
            return Err(fail("a VM's process ended by itself"));
        }
        sleep(Duration::from_millis(1));
    }
    let life = Duration::from_millis(rng.u64(5..150));
    sums.signals += signal_for(&to_guest, life, rng)?;
    kill(child, Signal::SIGKILL)?;
    sums.signals += reap(child, &to_guest)?;

    let mut sent = 0;
    for vcpu in 0..VCPUS {
        sent += book.to_eventfd(vcpu);
    }
    let got = from_guest.read().unwrap_or(0);
    // A vCPU may have been killed between its send and its note of that.
    if got < sent || got > sent + VCPUS as u64 {
        return Err(fail(format!(
            "a guest sent {sent} events to an eventfd, which got {got}"
        )));
    }
    sums.vms += 1;
    sums.sent += sent;
    sums.got += got;
    sums.taken += book.total();
    Ok(())
}

/// Signals an irqfd for a time; returns how often.
fn signal_for(to_guest: &EventFd, time: Duration, rng: &mut Rng) -> Outcome<u64> {
    let begun = Instant::now();
    let mut signals = 0;
    while begun.elapsed() < time {
        to_guest.write(1)?;
        signals += 1;
        sleep(Duration::from_micros(rng.u64(0..300)));
    }
    Ok(signals)
}

/// Waits for a process that was killed, and signals its irqfd until it is gone.
fn reap(child: Pid, to_guest: &EventFd) -> Outcome<u64> {
    step("a VM to end");
    let begun = Instant::now();
    let mut signals = 0;
    while waitpid(child, Some(WaitPidFlag::WNOHANG))? == WaitStatus::StillAlive {
        if begun.elapsed() > PATIENCE {
            return Err(fail(format!(
                "a VM's process does not end, though killed\n{}",
                kernel_stacks(child)
            )));
        }
        to_guest.write(1)?;
        signals += 1;
        sleep(Duration::from_micros(100));
    }
    Ok(signals)
}

/// The process that is to be killed.
fn victim(book: Book, from_guest: &EventFd, to_guest: &EventFd, seed: u64) -> ! {
    // Failing to set it only leaves a process behind if the parent is killed.
    let _ = set_pdeathsig(Signal::SIGKILL);
    let run = || -> Outcome {
        let mut plan = Plan {
            eventfd: Some(from_guest.as_raw_fd()),
            ..Plan::usual()
        };
        plan.upcalls.truncate(VCPUS);
        let mut rng = Rng::with_seed(seed);
        let world = World::new(plan, book)?;
        world
            .vm
            .fd
            .register_irqfd(to_guest, GSI + crate::book::VCPUS as u32)?;
        let churn = Churn {
            pages: rng.bool(),
            memslots: rng.bool(),
            ..Churn::default()
        };
        churn.start(&world, &mut rng)?;
        senders(&world, Pace::Mixed, &mut rng)?;
        loop {
            sleep(PATIENCE);
        }
    };
    abandon(run().err().unwrap_or_else(|| fail("not killed")))
}
