// SPDX-License-Identifier: GPL-2.0
//! The demo's result as tables: what ran where, how often, and what the guest saw.

use crate::table::{number, table, Align};
use protocol::{Event, GuestEvent, GuestReport, Probe, Transition};
use std::time::Duration;

/// All of it; last, and so what is left on a screen, who served the guest.
pub fn lines(events: &[Event]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut add = |title: &str, body: Vec<String>| {
        if !body.is_empty() {
            lines.extend([String::new(), title.to_owned(), String::new()]);
            lines.extend(body);
        }
    };
    add("What the guest saw:", hypervisor(events));
    for said in guest(events) {
        if let GuestEvent::Report(report) = said {
            add(
                "Its /proc/interrupts, as far as it is Xen's:",
                interrupts(report),
            );
            add(
                "Its kernel log, where it speaks of Xen:",
                kernel_log(report),
            );
        }
    }
    add(
        "Functions of kvm.ko that Rust replaces, and entries in each phase:",
        functions(events),
    );
    add(
        "Who served the guest, one after the other while it worked:",
        phases(events),
    );
    lines
}

fn guest(events: &[Event]) -> impl Iterator<Item = &GuestEvent> {
    events.iter().filter_map(|event| match event {
        Event::Guest { said, .. } => Some(said),
        _ => None,
    })
}

fn phases(events: &[Event]) -> Vec<String> {
    let mut rows = Vec::new();
    let mut change: Option<&Transition> = None;
    for event in events {
        match event {
            Event::Changed(transition) => change = Some(transition),
            Event::Phase {
                side,
                ms,
                rounds,
                disk_bytes,
                ipis,
                ..
            } => {
                let cell = |get: fn(&Transition) -> u64| {
                    change.map_or_else(String::new, |c| format!("{} ms", get(c)))
                };
                rows.push(vec![
                    side.to_string(),
                    cell(|c| c.module_ms),
                    cell(|c| c.transition_ms),
                    seconds(*ms),
                    rounds.to_string(),
                    format!("{} KiB", number(disk_bytes >> 10)),
                    number(*ipis),
                ]);
                change = None;
            }
            _ => {}
        }
    }
    let columns = [
        ("in charge", Align::Left),
        ("insmod/rmmod", Align::Right),
        ("transition", Align::Right),
        ("for", Align::Right),
        ("rounds", Align::Right),
        ("written and verified", Align::Right),
        ("IPIs", Align::Right),
    ];
    if rows.is_empty() {
        return Vec::new();
    }
    table(&columns, &rows)
}

fn functions(events: &[Event]) -> Vec<String> {
    let columns: Vec<(String, &[Probe])> = events
        .iter()
        .filter_map(|event| match event {
            Event::Booted { side, probes, .. } => Some((format!("boot, {side}"), &probes[..])),
            Event::Phase { side, probes, .. } => Some((format!("work, {side}"), &probes[..])),
            _ => None,
        })
        .collect();
    let mut names: Vec<&str> = columns
        .iter()
        .flat_map(|(_, probes)| probes.iter().map(|probe| probe.function.as_str()))
        .collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return Vec::new();
    }
    let entries = |probes: &[Probe], name: &str| {
        let probe = probes.iter().find(|probe| probe.function == name);
        let entries = probe.and_then(|probe| probe.entries);
        entries.map_or("?".to_owned(), number)
    };
    let rows: Vec<Vec<String>> = names
        .iter()
        .map(|name| {
            let counts = columns.iter().map(|(_, probes)| entries(probes, name));
            [(*name).to_owned()].into_iter().chain(counts).collect()
        })
        .collect();
    let mut titles = vec![("function", Align::Left)];
    titles.extend(
        columns
            .iter()
            .map(|(title, _)| (title.as_str(), Align::Right)),
    );
    table(&titles, &rows)
}

fn hypervisor(events: &[Event]) -> Vec<String> {
    let up = guest(events).find_map(|said| match said {
        GuestEvent::Up {
            hypervisor,
            version,
            clocksource,
            ..
        } => Some([
            ("/sys/hypervisor/type", hypervisor),
            ("/sys/hypervisor/version", version),
            ("clock source", clocksource),
        ]),
        _ => None,
    });
    let up = up.into_iter().flatten();
    up.map(|(what, is)| format!("  {what:<24}  {is}")).collect()
}

fn interrupts(report: &GuestReport) -> Vec<String> {
    let processors = report
        .interrupts
        .iter()
        .map(|line| line.counts.len())
        .max()
        .unwrap_or(0);
    let titles: Vec<String> = (0..processors).map(|cpu| format!("CPU{cpu}")).collect();
    let mut columns = vec![("irq", Align::Right)];
    columns.extend(titles.iter().map(|title| (title.as_str(), Align::Right)));
    columns.push(("what", Align::Left));
    let row = |line: &protocol::IrqLine| {
        let mut cells = vec![line.irq.clone()];
        cells.extend(line.counts.iter().map(|count| number(*count)));
        cells.resize(1 + processors, String::new());
        cells.push(line.what.clone());
        cells
    };
    // A port that never fired says nothing.
    let fired = report
        .interrupts
        .iter()
        .filter(|line| line.counts.iter().any(|&count| count > 0));
    table(&columns, &fired.map(row).collect::<Vec<_>>())
}

fn kernel_log(report: &GuestReport) -> Vec<String> {
    let lines = report.dmesg.iter();
    lines.map(|line| format!("  {line}")).collect()
}

fn seconds(ms: u64) -> String {
    crate::progress::seconds(Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::Side;

    fn phase(side: Side, entries: Option<u64>) -> Event {
        Event::Phase {
            index: 0,
            side,
            ms: 1500,
            rounds: 5,
            disk_bytes: 5 << 20,
            ipis: 1234,
            probes: vec![Probe {
                function: "evtchn_set_fn".into(),
                entries,
            }],
        }
    }

    fn change(to: Side) -> Event {
        Event::Changed(Transition {
            to,
            module_ms: 40,
            transition_ms: 210,
            functions: vec![],
        })
    }

    #[test]
    fn each_phase_has_its_column() {
        let events = [
            change(Side::Rust),
            phase(Side::Rust, Some(9000)),
            change(Side::C),
            phase(Side::C, Some(77)),
            phase(Side::Rust, None),
        ];
        let text = functions(&events);
        assert_eq!(text[0], "  function       work, Rust  work, C  work, Rust");
        assert_eq!(text[2], "  evtchn_set_fn       9,000       77           ?");
        let text = phases(&events);
        assert!(
            text[2].contains("210 ms") && text[2].contains("5,120 KiB"),
            "{text:?}"
        );
        // Nothing changed before the last one.
        assert!(!text[4].contains("210 ms"), "{text:?}");
    }

    #[test]
    fn without_phases_there_is_no_table() {
        assert_eq!(lines(&[]), Vec::<String>::new());
    }
}
