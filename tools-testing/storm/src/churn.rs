// SPDX-License-Identifier: GPL-2.0
//! What goes on under the senders: threads that change what events are delivered by.

use std::os::fd::RawFd;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::Arc;
use std::thread::{self, sleep, JoinHandle};
use std::time::{Duration, Instant};

use fastrand::Rng;
use harness::child::abandon;
use harness::outcome::{fail, Outcome};
use harness::port::Port;
use kvm_bindings::KVM_MEM_LOG_DIRTY_PAGES;
use nix::errno::Errno;
use vm_memory::MmapRegion;

use crate::account;
use crate::host;
use crate::pages::PAGES;
use crate::plan;
use crate::watch::{Beat, PATIENCE};
use crate::world::World;

/// Slots that come and go, and where.
const OTHER_SLOT: u32 = 5;
const OTHER_GPA: u64 = 0x3000_0000;
const OTHER_SIZE: usize = 0x1_0000;
/// Places that such a slot may be at.
const PLACES: u64 = 4;

/// What changes during a storm.
#[derive(Clone, Copy, Default)]
pub struct Churn {
    pub memslots: bool,
    pub pages: bool,
    pub copy_on_write: bool,
    pub long_mode: bool,
    pub ports: bool,
    /// A processor of the host.
    pub host_cpu: bool,
    /// How many times longer than usual it waits from one change to the next.
    pub slower: u64,
}

impl Churn {
    /// Of memslots.
    pub const MEMSLOTS: Self = Self {
        memslots: true,
        pages: false,
        copy_on_write: false,
        long_mode: false,
        ports: false,
        host_cpu: false,
        slower: 0,
    };
    /// Of a processor of the host.
    pub const HOST_CPU: Self = Self {
        memslots: false,
        host_cpu: true,
        ..Self::MEMSLOTS
    };
    /// Of pages.
    pub const PAGES: Self = Self {
        memslots: false,
        pages: true,
        ..Self::MEMSLOTS
    };

    /// Starts its threads. Pauses are short, but changes are not all there is.
    pub fn start(self, world: &Arc<World>, rng: &mut Rng) -> Outcome<Vec<JoinHandle<()>>> {
        let mut threads = Vec::new();
        let mut add = |name, pause, change| -> Outcome {
            let pause = pause * (1 + self.slower);
            threads.push(start(world, name, pause, rng.fork(), change)?);
            Ok(())
        };
        if self.memslots {
            add("memslots", 2000, memslots()?)?;
        }
        if self.pages {
            add("pages", 1000, pages())?;
        }
        if self.copy_on_write {
            add("copy-on-write", 10_000, copy_on_write())?;
        }
        if self.long_mode {
            add("LONG_MODE", 2000, long_mode())?;
        }
        if self.ports {
            add("ports", 1000, ports(world.plan.eventfd))?;
        }
        if self.host_cpu {
            add("host CPU", 50_000, host::cpu())?;
        }
        Ok(threads)
    }
}

/// What is not counted as a change.
const NOTHING: &str = "nothing";

/// Makes a change and says what it was.
pub type Change = dyn FnMut(&World, &Beat, &mut Rng) -> Outcome<&'static str> + Send;

/// A thread that changes something again and again, with a pause in between.
pub fn start(
    world: &Arc<World>,
    name: &'static str,
    pause: u64,
    mut rng: Rng,
    mut change: Box<Change>,
) -> Outcome<JoinHandle<()>> {
    let beat = world.watch.thread(name.into());
    let world = world.clone();
    let thread = thread::Builder::new().name(name.into());
    Ok(thread.spawn(move || {
        while !world.calm.load(SeqCst) {
            beat.doing("makes a change");
            let what = change(&world, &beat, &mut rng).unwrap_or_else(|stop| abandon(stop));
            if what != NOTHING {
                let mut changes = world.changes.lock().expect("nobody panics with it");
                *changes.entry(what).or_default() += 1;
            }
            sleep(Duration::from_micros(rng.u64(0..=pause)));
        }
    })?)
}

/// Slots are added, moved and removed; those of the Xen pages are logged, or not.
pub fn memslots() -> Outcome<Box<Change>> {
    let region = MmapRegion::new(OTHER_SIZE)?;
    let mut place = None;
    let mut logged = false;
    Ok(Box::new(move |world, _, rng| {
        if rng.bool() {
            logged = !logged;
            let flags = if logged { KVM_MEM_LOG_DIRTY_PAGES } else { 0 };
            world.pages.attach(&world.vm, flags)?;
            return Ok("slot flags");
        }
        let next = rng.u64(0..PLACES);
        match place {
            Some(_) if rng.u32(0..3) == 0 => {
                world.vm.delete_slot(OTHER_SLOT)?;
                place = None;
                Ok("slot removed")
            }
            Some(old) if old == next => {
                let flags = KVM_MEM_LOG_DIRTY_PAGES * rng.u32(0..2);
                let gpa = OTHER_GPA + next * OTHER_SIZE as u64;
                world.vm.set_slot(OTHER_SLOT, gpa, &region, flags)?;
                Ok("slot flags")
            }
            _ => {
                let gpa = OTHER_GPA + next * OTHER_SIZE as u64;
                world.vm.set_slot(OTHER_SLOT, gpa, &region, 0)?;
                let moved = place.replace(next).is_some();
                Ok(if moved { "slot moved" } else { "slot added" })
            }
        }
    }))
}

/// Pages are taken away, and found again where they are looked for.
pub fn pages() -> Box<Change> {
    Box::new(|world, _, rng| {
        // Those that all senders use are taken most often.
        let page = if rng.bool() { 0 } else { rng.usize(0..PAGES) };
        match rng.u32(0..4) {
            0 => {
                world.pages.map_again(page)?;
                Ok("mmap")
            }
            1 => {
                world.pages.move_away(page)?;
                Ok("mremap")
            }
            2 => {
                world.pages.drop_from_memory(0, PAGES)?;
                Ok("madvise of all")
            }
            _ => {
                world.pages.drop_from_memory(page, 1)?;
                Ok("madvise")
            }
        }
    })
}

/// Private pages become the file's again, and are copied by whoever writes first.
///
/// That takes a moment in which nobody writes: senders wait.
pub fn copy_on_write() -> Box<Change> {
    Box::new(|world, beat, rng| {
        let closed = world.gate.write().expect("nobody panics with it");
        beat.doing("waits for the guest to see all, with senders stopped");
        let mut rounds = 0;
        while !account::unsettled(world).is_empty() {
            sleep(Duration::from_micros(200));
            rounds += 1;
            if rounds > PATIENCE.as_micros() / 400 {
                return Err(fail(format!("events are lost\n{}", world.state())));
            }
        }
        world.pages.uncopy()?;
        if rng.bool() {
            (0..PAGES).for_each(|page| world.pages.touch(page));
        }
        drop(closed);
        // Now they are written to, and read at the same time.
        for _ in 0..rng.u32(0..20) {
            world.pages.touch(rng.usize(0..PAGES));
        }
        Ok("pages to be copied")
    })
}

/// The guest's word size.
pub fn long_mode() -> Box<Change> {
    Box::new(|world, _, rng| {
        world.vm.set_long_mode(rng.u8(0..2))?;
        Ok("LONG_MODE")
    })
}

/// Ports are assigned, bound elsewhere and taken away, one by one or all at once.
///
/// A reset takes those that lead to `eventfd`, too, which are assigned again then;
/// without it there are none.
pub fn ports(eventfd: Option<RawFd>) -> Box<Change> {
    Box::new(move |world, _, rng| {
        let vcpus = world.plan.vcpus();
        if let (Some(fd), 0) = (eventfd, rng.u32(0..16)) {
            world.vm.reset_ports()?;
            for vcpu in 0..vcpus {
                let port = Port::raw_eventfd(plan::to_eventfd(vcpu), fd);
                world.vm.assign(port)?;
            }
            return Ok("reset");
        }
        let owner = rng.usize(0..vcpus);
        let send_port = plan::restless_send(owner);
        let port = |vcpu| Port::interdomain(send_port, plan::restless(owner), vcpu);
        let vcpu = rng.usize(0..vcpus) as u32;
        let (what, result, but) = match rng.u32(0..16) {
            0..6 => ("assign", world.vm.assign(port(vcpu)), Errno::EEXIST),
            6..13 => ("update", world.vm.update(port(vcpu)), Errno::ENOENT),
            _ => ("deassign", world.vm.deassign(send_port), Errno::ENOENT),
        };
        match result {
            Ok(()) => Ok(what),
            Err(error) if error == but => Ok(NOTHING),
            Err(error) => Err(fail(format!("{what} of port {send_port}: {error}"))),
        }
    })
}

/// Changes nothing: fails when the one event of a ring has stopped.
pub fn look_after_ring() -> Box<Change> {
    look_after("the event of the ring is lost", |world| world.book.total())
}

/// Changes nothing: fails when a vCPU's timer does not fire.
pub fn look_after_timers() -> Box<Change> {
    look_after("a timer does not fire", |world| {
        let timers = (0..world.plan.vcpus()).map(|vcpu| world.book.count(plan::timer(vcpu)));
        timers.min().unwrap_or(0)
    })
}

fn look_after(lost: &'static str, count: fn(&World) -> u64) -> Box<Change> {
    let mut last = (0, Instant::now());
    Box::new(move |world, _, _| {
        let now = count(world);
        if now != last.0 || world.quiet.load(SeqCst) {
            last = (now, Instant::now());
        } else if last.1.elapsed() > PATIENCE / 2 {
            return Err(fail(format!("{lost}\n{}", world.state())));
        }
        Ok(NOTHING)
    })
}
