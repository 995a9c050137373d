// SPDX-License-Identifier: GPL-2.0
//! A sender of the VMM: a thread that sends to one port in one way.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::Arc;
use std::thread::{self, sleep, yield_now, JoinHandle};
use std::time::{Duration, Instant};

use fastrand::Rng;
use harness::child::abandon;
use harness::irqfd::Irqfd;
use harness::outcome::{fail, Outcome};
use nix::errno::Errno;

use crate::book::Sent;
use crate::plan;
use crate::watch::{Beat, PATIENCE};
use crate::world::{World, GSI};

/// How it sends.
pub enum Way {
    /// KVM_XEN_HVM_EVTCHN_SEND.
    Ioctl,
    /// A write to an eventfd with a route to the port.
    Irqfd(Irqfd),
}

/// When it sends again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// At once, or after a while, or when the event was seen: by chance.
    Mixed,
    /// After a while, in which the machine can do other things.
    Gentle,
    /// When the event was seen, so that none is ever coalesced.
    OneByOne,
}

/// A sender and what came of it.
pub struct Line {
    /// The port, and the vCPU that it is bound to.
    pub port: u32,
    vcpu: u32,
    way: Way,
    /// When it sends again.
    pub pace: Pace,
    ok: AtomicU64,
    last: AtomicU64,
    refused: AtomicU64,
}

impl Line {
    /// One that has not sent yet.
    pub fn new(port: u32, vcpu: usize, way: Way, pace: Pace) -> Self {
        Self {
            port,
            vcpu: vcpu as u32,
            way,
            pace,
            ok: AtomicU64::new(0),
            last: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Its name in the account.
    pub fn kind(&self) -> &'static str {
        match self.way {
            Way::Ioctl => "ioctl",
            Way::Irqfd(_) => "irqfd",
        }
    }

    /// What it sent.
    pub fn sent(&self) -> Sent {
        Sent {
            port: self.port,
            ok: self.ok.load(SeqCst),
            last: self.last.load(SeqCst),
            refused: self.refused.load(SeqCst),
        }
    }

    /// Sends once; returns its ticket if that was accepted.
    pub fn send(&self, world: &World) -> Outcome<Option<u64>> {
        let _open = world.gate.read().expect("nobody panics with it");
        let ticket = world.book.ticket(self.port);
        let result = match &self.way {
            Way::Ioctl => world.vm.send(self.port, self.vcpu),
            Way::Irqfd(irqfd) => {
                irqfd.signal()?;
                Ok(())
            }
        };
        match result {
            Ok(()) => {
                self.last.store(ticket, SeqCst);
                self.ok.fetch_add(1, SeqCst);
                Ok(Some(ticket))
            }
            // There is no such vCPU yet.
            Err(Errno::EINVAL) if self.vcpu as usize >= world.plan.vcpus() => {
                self.refused.fetch_add(1, SeqCst);
                Ok(None)
            }
            Err(error) => Err(fail(format!(
                "{} to port {}: {error}",
                self.kind(),
                self.port
            ))),
        }
    }

    /// Starts its thread, and has `world` account for it.
    pub fn start(self, world: &Arc<World>, mut rng: Rng) -> Outcome<JoinHandle<()>> {
        let line = Arc::new(self);
        let mut lines = world.lines.lock().expect("nobody panics with it");
        lines.push(line.clone());
        let name = format!("{} to port {}", line.kind(), line.port);
        let beat = world.watch.thread(name.clone());
        let world = world.clone();
        let thread = thread::Builder::new().name(name);
        Ok(thread.spawn(move || {
            while !world.quiet.load(SeqCst) {
                line.turn(&world, &beat, &mut rng)
                    .unwrap_or_else(|stop| abandon(stop));
            }
        })?)
    }

    fn turn(&self, world: &World, beat: &Beat, rng: &mut Rng) -> Outcome {
        beat.doing("sends");
        let ticket = self.send(world)?;
        match (self.pace, ticket) {
            (Pace::OneByOne, Some(ticket)) => {
                self.wait_until_seen(world, beat, ticket)?;
                // The vCPU is on its way to sleep, or it sleeps.
                let pause = match rng.u32(0..4) {
                    0 => 0..1,
                    1 => 0..600,
                    _ => 1000..5000,
                };
                sleep(Duration::from_micros(rng.u64(pause)));
            }
            (Pace::OneByOne, None) => sleep(Duration::from_millis(1)),
            (Pace::Gentle, ticket) => {
                sleep(Duration::from_millis(rng.u64(5..80)));
                if let (Some(ticket), 0) = (ticket, rng.u32(0..4)) {
                    self.wait_until_seen(world, beat, ticket)?;
                }
            }
            (Pace::Mixed, _) => match rng.u32(0..16) {
                0..4 => {}
                4..9 => yield_now(),
                9..14 => sleep(Duration::from_micros(rng.u64(10..600))),
                _ => {
                    if let Some(ticket) = ticket {
                        self.wait_until_seen(world, beat, ticket)?;
                    }
                }
            },
        }
        Ok(())
    }

    fn wait_until_seen(&self, world: &World, beat: &Beat, ticket: u64) -> Outcome {
        beat.doing("waits for the guest to see an event");
        let sent = Instant::now();
        let mut looks = 0;
        while world.book.seen(self.port) < ticket {
            if sent.elapsed() > PATIENCE / 2 {
                return Err(fail(format!(
                    "an event is lost: {} to port {} succeeded {} s ago, and the guest has not \
                     seen it\n{}",
                    self.kind(),
                    self.port,
                    sent.elapsed().as_secs(),
                    world.state()
                )));
            }
            looks += 1;
            match looks {
                0..20 => yield_now(),
                _ => sleep(Duration::from_micros(200)),
            }
        }
        Ok(())
    }
}

/// A sender by ioctl, and its thread.
pub fn by_ioctl(
    world: &Arc<World>,
    vcpu: usize,
    port: u32,
    pace: Pace,
    rng: &mut Rng,
) -> Outcome<JoinHandle<()>> {
    Line::new(port, vcpu, Way::Ioctl, pace).start(world, rng.fork())
}

/// A sender by irqfd, and its thread.
pub fn by_irqfd(
    world: &Arc<World>,
    vcpu: usize,
    pace: Pace,
    rng: &mut Rng,
) -> Outcome<JoinHandle<()>> {
    let irqfd = world.vm.irqfd(GSI + vcpu as u32)?;
    Line::new(plan::by_irqfd(vcpu), vcpu, Way::Irqfd(irqfd), pace).start(world, rng.fork())
}

/// Senders to all vCPUs, in all the VMM's ways.
pub fn senders(world: &Arc<World>, pace: Pace, rng: &mut Rng) -> Outcome<Vec<JoinHandle<()>>> {
    let mut threads = Vec::new();
    for vcpu in 0..world.plan.vcpus() {
        let port = match world.plan.upcalls[vcpu].polls() {
            true => plan::masked(vcpu, 0),
            false => plan::by_ioctl(vcpu),
        };
        threads.push(by_ioctl(world, vcpu, port, pace, rng)?);
        threads.push(by_ioctl(world, vcpu, plan::common(vcpu), pace, rng)?);
        threads.push(by_irqfd(world, vcpu, pace, rng)?);
    }
    Ok(threads)
}
