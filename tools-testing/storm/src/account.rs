// SPDX-License-Identifier: GPL-2.0
//! The end of a storm: senders stop, the guest comes to rest, and what was sent is
//! held against what was seen.

use std::collections::BTreeMap;
use std::mem::offset_of;
use std::sync::atomic::Ordering::SeqCst;
use std::thread::sleep;
use std::time::{Duration, Instant};

use harness::abi::SharedInfo;
use harness::outcome::{fail, Outcome};

use crate::block::Block;
use crate::book::{Sent, PORTS};
use crate::plan;
use crate::watch::PATIENCE;
use crate::world::World;

/// Everything that was sent, by kind of sender, but for what went to an eventfd.
pub fn entries(world: &World) -> Vec<(&'static str, Sent)> {
    let lines = world.lines.lock().expect("nobody panics with it");
    let mut entries: Vec<_> = lines
        .iter()
        .map(|line| (line.kind(), line.sent()))
        .collect();
    for vcpu in 0..world.online.load(SeqCst) {
        for index in 0..world.sends(vcpu) {
            let sent = world.book.send(vcpu, index);
            if sent.port != plan::to_eventfd(vcpu) {
                entries.push(("hypercall", sent));
            }
        }
        if world.plan.timers {
            entries.push(("timer", world.book.timer(vcpu, plan::timer(vcpu))));
        }
    }
    entries
}

/// What has been sent and not yet been seen, a line each.
pub fn unsettled(world: &World) -> Vec<String> {
    let info = SharedInfo::new(world.pages.shared_info_page(), world.abi());
    let unseen = |(kind, sent): &(&str, Sent)| {
        let seen = world.book.seen(sent.port);
        (seen < sent.last).then(|| {
            format!(
                "{kind} to port {}: {} sent, the last with ticket {}; the guest has seen {seen}, \
                 and its pending bit is {}",
                sent.port,
                sent.ok,
                sent.last,
                u8::from(info.pending(sent.port)),
            )
        })
    };
    entries(world).iter().filter_map(unseen).collect()
}

/// Has the guest send no more, and waits until all that was sent was seen.
///
/// Threads that send must have ended.
pub fn settle(world: &World) -> Outcome {
    let beat = world.watch.thread("the main thread".into());
    for vcpu in 0..world.online.load(SeqCst) {
        beat.doing("has the guest send no more");
        let book = &world.book;
        book.half_of(vcpu, offset_of!(Block, send_count))
            .store(0, SeqCst);
        book.half_of(vcpu, offset_of!(Block, timer_port))
            .store(0, SeqCst);
        // As for whoever sends: this event counts for nobody, but it must not be lost.
        let _open = world.gate.read().expect("nobody panics with it");
        // Turns that begin from here on send nothing.
        let turns = book.of(vcpu, offset_of!(Block, turns));
        let before = turns.load(SeqCst);
        world.vm.send(plan::bell(vcpu), vcpu as u32)?;
        let what = || format!("vCPU {vcpu} was sent an event, and does not move");
        wait(world, what, || turns.load(SeqCst) > before)?;
    }
    beat.doing("waits for the guest to see what was sent");
    wait(
        world,
        || "events are lost".into(),
        || unsettled(world).is_empty(),
    )
}

fn wait(world: &World, what: impl Fn() -> String, done: impl Fn() -> bool) -> Outcome {
    let begun = Instant::now();
    while !done() {
        if begun.elapsed() > PATIENCE / 2 {
            return Err(fail(format!("{}\n{}", what(), world.state())));
        }
        sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Fails if an event came that was not sent; where none can have been coalesced,
/// if fewer came, too. To be called when the guest has ended.
pub fn check(world: &World, one_by_one: bool) -> Outcome {
    let lost = unsettled(world);
    if !lost.is_empty() {
        return Err(fail(format!("events are lost\n{}", lost.join("\n"))));
    }
    let mut sent = BTreeMap::<u32, u64>::new();
    for (_, entry) in entries(world) {
        *sent.entry(entry.port).or_default() += entry.ok;
    }
    let bells: Vec<_> = (0..world.online.load(SeqCst)).map(plan::bell).collect();
    for port in (0..PORTS as u32).filter(|port| !bells.contains(port)) {
        let (sent, taken) = (
            sent.get(&port).copied().unwrap_or(0),
            world.book.count(port),
        );
        if taken > sent {
            return Err(fail(format!(
                "port {port}: {sent} events were sent, the guest got {taken}"
            )));
        }
        if one_by_one && taken != sent {
            return Err(fail(format!(
                "port {port}: {sent} events were sent one by one, the guest got {taken}"
            )));
        }
    }
    Ok(())
}

/// How many events were sent.
pub fn sent(world: &World) -> u64 {
    entries(world).iter().map(|(_, sent)| sent.ok).sum()
}

/// The account in numbers.
pub fn report(world: &World, time: Duration) -> String {
    let mut kinds = BTreeMap::<&str, (u64, u64)>::new();
    for (kind, entry) in entries(world) {
        let sums = kinds.entry(kind).or_default();
        sums.0 += entry.ok;
        sums.1 += entry.refused;
    }
    let sent: u64 = kinds.values().map(|sums| sums.0).sum();
    let taken: u64 = kinds_taken(world);
    let kinds: Vec<_> = kinds
        .iter()
        .map(|(kind, (ok, refused))| match refused {
            0 => format!("{kind} {ok}"),
            _ => format!("{kind} {ok} ({refused} refused)"),
        })
        .collect();
    let changes = world.changes.lock().expect("nobody panics with it");
    let total: u64 = changes.values().sum();
    let changes: Vec<_> = changes
        .iter()
        .map(|(what, count)| format!("{what} {count}"))
        .collect();
    let per_second = |count: u64| (count as f64 / time.as_secs_f64()) as u64;
    format!(
        "sent {sent} in {:.1} s, {} a second: {}\n\
         taken {taken}, coalesced {}, lost 0, not sent 0\n\
         changes {total}, {} a second: {}",
        time.as_secs_f64(),
        per_second(sent),
        kinds.join(", "),
        sent - taken,
        per_second(total),
        if changes.is_empty() {
            "none".into()
        } else {
            changes.join(", ")
        }
    )
}

fn kinds_taken(world: &World) -> u64 {
    let bells: u64 = (0..world.online.load(SeqCst))
        .map(|vcpu| world.book.count(plan::bell(vcpu)))
        .sum();
    world.book.total() - bells
}
