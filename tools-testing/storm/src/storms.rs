// SPDX-License-Identifier: GPL-2.0
//! The storms: who sends, and what changes meanwhile.

use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::Arc;
use std::thread::{sleep, JoinHandle};
use std::time::{Duration, Instant};

use fastrand::Rng;
use harness::child::step;
use harness::outcome::{fail, Outcome};
use harness::tally::tried;
use vmm_sys_util::eventfd::{EventFd, EFD_NONBLOCK};

use crate::account;
use crate::block::POLLED;
use crate::book::{Book, VCPUS};
use crate::churn::{self, Churn};
use crate::destroy;
use crate::line::{by_ioctl, by_irqfd, senders, Line, Pace, Way};
use crate::plan::{self, Plan, Scan, Upcall};
use crate::world::World;

/// How long a storm is, and what its chances are made of.
#[derive(Clone, Copy)]
pub struct Setting {
    pub time: Duration,
    pub seed: u64,
}

/// A storm.
pub struct Storm {
    pub name: &'static str,
    /// In a few words.
    pub what: &'static str,
    pub run: fn(&Setting) -> Outcome,
}

/// All storms of guests alone, simple ones first.
pub const STORMS: &[Storm] = &[
    Storm {
        name: "senders",
        what: "ioctls, irqfds, IPIs and timers at once, on 4 vCPUs, and nothing else",
        run: |setting| blow(Plan::usual(), setting, Churn::default()),
    },
    Storm {
        name: "memslots",
        what: "the same, while slots are added, moved, removed, logged and not logged",
        run: |setting| blow(Plan::usual(), setting, Churn::MEMSLOTS),
    },
    Storm {
        name: "pages",
        what: "the same, while pages of shared_info, vcpu_info and runstates are unmapped",
        run: |setting| blow(Plan::usual(), setting, Churn::PAGES),
    },
    Storm {
        name: "word-size-32",
        what: "the same, of a 32-bit guest whose timers are set again before they fire",
        run: |setting| {
            let plan = Plan {
                scan: Scan::Bits32,
                rearm: true,
                ..Plan::usual()
            };
            blow(plan, setting, Churn::PAGES)
        },
    },
    Storm {
        name: "copy-on-write",
        what: "ioctls and irqfds, while private pages are the file's again and copied",
        run: |setting| {
            let plan = Plan {
                timers: false,
                ipis: false,
                private: true,
                ..Plan::usual()
            };
            let churn = Churn {
                copy_on_write: true,
                memslots: true,
                ..Churn::default()
            };
            blow(plan, setting, churn)
        },
    },
    Storm {
        name: "long-mode",
        what: "all senders, while the guest's word size changes",
        run: |setting| {
            let plan = Plan {
                scan: Scan::Changing,
                ..Plan::usual()
            };
            let churn = Churn {
                long_mode: true,
                ..Churn::PAGES
            };
            blow(plan, setting, churn)
        },
    },
    Storm {
        name: "ports",
        what: "the guest sends to ports that are assigned, updated, deassigned and reset",
        run: ports,
    },
    Storm {
        name: "one-by-one",
        what: "a single event under way to each vCPU, so that none is woken by another",
        run: |setting| {
            let plan = Plan {
                timers: false,
                ipis: false,
                ..Plan::usual()
            };
            let senders: Senders = |world, rng| {
                (0..world.plan.vcpus())
                    .map(|vcpu| match vcpu / 2 {
                        0 => by_ioctl(world, vcpu, plan::by_ioctl(vcpu), Pace::OneByOne, rng),
                        _ => by_irqfd(world, vcpu, Pace::OneByOne, rng),
                    })
                    .collect()
            };
            one_by_one(plan, setting, senders, None)
        },
    },
    Storm {
        name: "polls",
        what: "single events to masked ports that vCPUs poll for without a timeout",
        run: |setting| {
            let plan = Plan {
                upcalls: vec![Upcall::Poll; 3],
                timers: false,
                ipis: false,
                ..Plan::usual()
            };
            let senders: Senders = |world, rng| {
                (0..world.plan.vcpus())
                    .map(|vcpu| {
                        let port = plan::masked(vcpu, rng.usize(0..POLLED));
                        by_ioctl(world, vcpu, port, Pace::OneByOne, rng)
                    })
                    .collect()
            };
            one_by_one(plan, setting, senders, None)
        },
    },
    Storm {
        name: "ring",
        what: "a single IPI goes around the vCPUs",
        run: |setting| {
            let plan = Plan {
                timers: false,
                ipis: false,
                ring: true,
                ..Plan::usual()
            };
            one_by_one(plan, setting, ring, Some(churn::look_after_ring))
        },
    },
    Storm {
        name: "timers",
        what: "each vCPU sets its timer when it has seen it fire",
        run: |setting| {
            let plan = Plan {
                ipis: false,
                // The vCPU sleeps by then.
                timer_delta: 3_000_000,
                ..Plan::usual()
            };
            // The vCPUs send.
            let senders: Senders = |_, _| Ok(Vec::new());
            one_by_one(plan, setting, senders, Some(churn::look_after_timers))
        },
    },
    Storm {
        name: "hot-plug",
        what: "events to vCPUs that are only being made",
        run: hot_plug,
    },
    Storm {
        name: "everything",
        what: "all senders, and all changes but for resets and new vCPUs",
        run: |setting| {
            let plan = Plan {
                scan: Scan::Changing,
                restless: true,
                spin: true,
                ..Plan::usual()
            };
            let churn = Churn {
                memslots: true,
                pages: true,
                long_mode: true,
                ports: true,
                ..Churn::default()
            };
            blow(plan, setting, churn)
        },
    },
    Storm {
        name: "destruction",
        what: "VMs are killed while events are sent to and by them",
        run: destroy::storm,
    },
];

/// Whether accounts are printed.
pub static TELL: AtomicBool = AtomicBool::new(true);

/// Prints a part of an account.
pub fn tell(text: &str) {
    if TELL.load(SeqCst) {
        text.lines().for_each(|line| println!("#   {line}"));
    }
}

/// Adds to what was tried.
pub fn tell_tried(count: u64, what: &str, failed: u64) {
    if TELL.load(SeqCst) {
        tried(count, what, failed);
    }
}

/// The one event of a ring.
fn ring(world: &Arc<World>, _: &mut Rng) -> Outcome<Vec<JoinHandle<()>>> {
    let port = plan::ipi(world.plan.vcpus() - 1, 0);
    let first = Arc::new(Line::new(port, 0, Way::Ioctl, Pace::OneByOne));
    let mut lines = world.lines.lock().expect("nobody panics with it");
    lines.push(first.clone());
    drop(lines);
    first.send(world)?;
    Ok(Vec::new())
}

/// A storm with the usual senders.
pub fn blow(plan: Plan, setting: &Setting, churn: Churn) -> Outcome {
    let mut rng = Rng::with_seed(setting.seed);
    let world = World::new(plan, Book::new()?)?;
    let churn = churn.start(&world, &mut rng)?;
    let senders = senders(&world, Pace::Mixed, &mut rng)?;
    let begun = Instant::now();
    sleep(setting.time);
    end(&world, senders, churn, begun, false)
}

/// What starts the senders of a storm.
type Senders = fn(&Arc<World>, &mut Rng) -> Outcome<Vec<JoinHandle<()>>>;

/// A storm in which no event can be coalesced.
///
/// Changes go on for half of its time. Some of them wake all vCPUs, and so make good for a wake-up
/// that was lost; in the other half nothing does.
fn one_by_one(
    plan: Plan,
    setting: &Setting,
    senders: Senders,
    look_after: Option<fn() -> Box<churn::Change>>,
) -> Outcome {
    let mut rng = Rng::with_seed(setting.seed);
    let world = World::new(plan, Book::new()?)?;
    world.stop_halt_polling()?;
    let churn = Churn {
        memslots: true,
        pages: true,
        // Events are what there are to be many of.
        slower: 10,
        ..Churn::default()
    };
    let churn = churn.start(&world, &mut rng)?;
    let senders = senders(&world, &mut rng)?;
    let begun = Instant::now();
    sleep(setting.time / 2);
    world.calm.store(true, SeqCst);
    join(churn)?;
    world.calm.store(false, SeqCst);
    let mut looks = Vec::new();
    if let Some(change) = look_after {
        looks.push(churn::start(
            &world,
            "who looks on",
            20_000,
            rng.fork(),
            change(),
        )?);
    }
    sleep(setting.time / 2);
    end(&world, senders, looks, begun, true)
}

/// Ends a storm, and accounts for it.
pub fn end(
    world: &Arc<World>,
    senders: Vec<JoinHandle<()>>,
    churn: Vec<JoinHandle<()>>,
    begun: Instant,
    one_by_one: bool,
) -> Outcome {
    let time = begun.elapsed();
    finish(world, senders, churn, one_by_one)?;
    tell(&account::report(world, time));
    tell_tried(account::sent(world), "events", 0);
    Ok(())
}

/// The same, without a word.
pub fn finish(
    world: &Arc<World>,
    senders: Vec<JoinHandle<()>>,
    churn: Vec<JoinHandle<()>>,
    one_by_one: bool,
) -> Outcome {
    step("senders to end");
    world.quiet.store(true, SeqCst);
    join(senders)?;
    step("the guest to see what was sent");
    // Changes go on until all is settled.
    account::settle(world)?;
    step("changes to end");
    world.calm.store(true, SeqCst);
    join(churn)?;
    step("vCPUs to stop");
    world.stop_vcpus()?;
    account::check(world, one_by_one)
}

fn join(threads: Vec<JoinHandle<()>>) -> Outcome {
    for thread in threads {
        thread.join().map_err(|_| fail("a thread panicked"))?;
    }
    Ok(())
}

fn ports(setting: &Setting) -> Outcome {
    let eventfd = EventFd::new(EFD_NONBLOCK)?;
    let plan = Plan {
        ipis: false,
        restless: true,
        eventfd: Some(eventfd.as_raw_fd()),
        ..Plan::usual()
    };
    let mut rng = Rng::with_seed(setting.seed);
    let world = World::new(plan, Book::new()?)?;
    let churn = Churn {
        ports: true,
        pages: true,
        ..Churn::default()
    };
    let churn = churn.start(&world, &mut rng)?;
    let senders = senders(&world, Pace::Mixed, &mut rng)?;
    let begun = Instant::now();
    sleep(setting.time);
    end(&world, senders, churn, begun, false)?;
    let sent = world.sent_to_eventfd();
    // It has nothing to read when there was nothing.
    let got = eventfd.read().unwrap_or(0);
    tell(&format!("sent to an eventfd {sent}, got {got}"));
    if sent != got {
        return Err(fail(format!(
            "the guest sent {sent} events to an eventfd that got {got}"
        )));
    }
    Ok(())
}

fn hot_plug(setting: &Setting) -> Outcome {
    let plan = Plan {
        upcalls: vec![Upcall::Vm],
        ipis: false,
        ..Plan::usual()
    };
    let mut rng = Rng::with_seed(setting.seed);
    let world = World::new(plan, Book::new()?)?;
    let churn = Churn::PAGES.start(&world, &mut rng)?;
    let mut senders = senders(&world, Pace::Mixed, &mut rng)?;
    for vcpu in 1..VCPUS {
        let port = plan::by_ioctl(vcpu);
        senders.push(by_ioctl(&world, vcpu, port, Pace::Mixed, &mut rng)?);
    }
    let begun = Instant::now();
    for vcpu in 1..VCPUS {
        sleep(setting.time / VCPUS as u32);
        world.add_vcpu(match vcpu % 2 {
            0 => Upcall::Vm,
            _ => Upcall::Apic,
        })?;
        // By irqfd nobody would be told that there is no such vCPU.
        senders.push(by_irqfd(&world, vcpu, Pace::Mixed, &mut rng)?);
    }
    sleep(setting.time / VCPUS as u32);
    end(&world, senders, churn, begun, false)
}
