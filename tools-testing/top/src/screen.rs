// SPDX-License-Identifier: GPL-2.0
//! Counts as a table that is drawn again and again.

use crate::counts::{quantile, Counts, Who};
use crate::events::{QUANTILES, REFRESH_FAILED, TIMER_LATE, WOKEN_AFTER};
use crate::names::Names;
use crate::side::Side;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Row, Table};
use ratatui::Frame;
use std::fs;
use std::time::Duration;

/// Columns: a heading, and what is summed up in it.
const COLUMNS: [(&str, &[&str]); 13] = [
    ("interrupt", &["interrupt"]),
    ("kick", &["kick"]),
    ("raised", &["raised"]),
    ("coalesced", &["coalesced"]),
    ("masked", &["masked"]),
    ("not now", &["not-now"]),
    ("waited", &["waited"]),
    ("failed", &["failed"]),
    ("polls", &["poll-begins"]),
    ("woken", &["poll-pending", "poll-woken"]),
    ("timed out", &["poll-timed-out"]),
    ("timers", &["timer-in-time", "timer-later"]),
    ("deferred", &["timer-deferred"]),
];

/// Columns of spans: what those of [`QUANTILES`] are headed by, and whose they are.
const SPANS: [([&str; 2], &str); 2] = [
    (["woken after", "99 %"], WOKEN_AFTER),
    (["late by", "99 %"], TIMER_LATE),
];

/// Draws what was counted in `span`, in times a second, and how long things took.
pub fn draw(frame: &mut Frame, counts: &Counts, names: &mut Names, side: Side, span: Duration) {
    let [head, body, foot] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Min(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let who = match side {
        Side::Rust => "Xen guests are served by Rust",
        Side::Both => "A transition: some tasks are served by Rust, others by C",
        Side::C => "Xen guests are served by C: nothing is counted",
        Side::NotThere => "The livepatch is not there: Xen guests are served by C",
    };
    frame.render_widget(Line::from(who), head);
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let headings = ["VM", "vCPU"].into_iter();
    let headings = headings.chain(COLUMNS.map(|(heading, _)| heading));
    let of_spans = SPANS.iter().flat_map(|(headings, _)| headings);
    let headings = headings.chain(of_spans.clone().copied());
    let headings = Row::new(headings.map(Line::from)).style(bold);
    let rows = counts.rows.iter();
    let rows = rows
        .filter(|(who, _)| who.vcpu.is_some())
        .map(|(who, row)| {
            let rate = |(_, of): (&str, &[&str])| {
                let times: u64 = of.iter().filter_map(|name| row.get(name)).sum();
                Cell::from(rate(times, span))
            };
            let vm = title(names.of(who.vm, counts.pids.get(&who.vm).copied()));
            let vcpu = who.vcpu.map_or_else(String::new, |vcpu| vcpu.to_string());
            let took = SPANS.iter().flat_map(|(_, name)| {
                let spans = counts.spans.get(&(*who, *name));
                QUANTILES.map(|(_, percent)| {
                    Cell::from(spans.map_or(String::new(), |spans| time(quantile(spans, percent))))
                })
            });
            let cells = [Cell::from(vm), Cell::from(vcpu)].into_iter();
            Row::new(cells.chain(COLUMNS.map(rate)).chain(took))
        });
    let widths = [Constraint::Length(22), Constraint::Length(6)].into_iter();
    let width = |name: &str| Constraint::Length(name.len().max(7) as u16);
    let widths = widths.chain(COLUMNS.map(|(name, _)| width(name)));
    let widths = widths.chain(of_spans.map(|name| width(name)));
    frame.render_widget(Table::new(rows, widths).header(headings), body);
    frame.render_widget(Line::from(below(counts, span)), foot);
}

/// A VM's name with that of its process.
fn title(vm: String) -> String {
    let pid = vm.split('.').next().unwrap_or_default();
    match fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(comm) => format!("{vm} {}", comm.trim()),
        Err(_) => vm,
    }
}

/// What is counted of VMs as a whole.
fn below(counts: &Counts, span: Duration) -> String {
    let whole = |of: (&Who, &crate::counts::Row), name| of.1.get(name).copied().unwrap_or(0);
    let sum = |name| counts.rows.iter().map(|row| whole(row, name)).sum::<u64>();
    let rate = |times| match rate(times, span) {
        nothing if nothing.is_empty() => "0".to_owned(),
        some => some,
    };
    let mut line = format!(
        "pages mapped again: {}  failed: {}",
        rate(sum("refreshed")),
        rate(sum(REFRESH_FAILED))
    );
    if counts.dropped > 0 {
        line += &format!("  not counted for want of room: {}", counts.dropped);
    }
    line + "  (times a second; q: quit)"
}

/// Times a second, in few characters; nothing for nothing.
fn rate(times: u64, span: Duration) -> String {
    match times as f64 / span.as_secs_f64().max(0.001) {
        0.0 => String::new(),
        few if few < 10.0 => format!("{few:.1}"),
        many => format!("{many:.0}"),
    }
}

/// Nanoseconds in few characters.
fn time(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{} us", ns / 1_000),
        1_000_000..1_000_000_000 => format!("{} ms", ns / 1_000_000),
        _ => format!("{} s", ns / 1_000_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::backend::TestBackend;
    use ratatui::Terminal;

    #[test]
    fn a_table_has_rates_in_their_columns() {
        let mut counts = Counts::default();
        let who = Who {
            vm: 7,
            vcpu: Some(3),
        };
        let row = [("kick", 20), ("poll-woken", 3), ("poll-pending", 1)];
        counts.rows.insert(who, row.into());
        counts.pids.insert(7, i32::MAX);
        let spans = crate::counts::Spans::from([(14, 99), (30, 1)]);
        counts.spans.insert((who, WOKEN_AFTER), spans);
        let mut terminal = Terminal::new(TestBackend::new(200, 6)).unwrap();
        let mut names = Names::default();
        let span = Duration::from_secs(2);
        terminal
            .draw(|frame| draw(frame, &counts, &mut names, Side::Rust, span))
            .unwrap();
        let buffer = terminal.backend().buffer();
        let text: Vec<String> = (0..6)
            .map(|y| (0..200).map(|x| buffer[(x, y)].symbol()).collect())
            .collect();
        assert!(text[0].contains("served by Rust"), "{text:#?}");
        let at = |heading: &str| text[2].find(heading).unwrap();
        let cell = |heading: &str| text[3][at(heading)..].split_whitespace().next();
        assert_eq!(cell("kick"), Some("10"));
        assert_eq!(cell("woken"), Some("2.0"));
        assert_eq!(cell("woken after"), Some("16"));
        assert!(text[3].starts_with("2147483647"));
    }

    #[test]
    fn times() {
        let times = [8, 1 << 17, 1 << 27, 1 << 32].map(time);
        assert_eq!(times, ["8 ns", "131 us", "134 ms", "4 s"]);
    }

    #[test]
    fn rates() {
        let span = Duration::from_millis(500);
        assert_eq!(
            [0, 1, 500].map(|times| rate(times, span)),
            ["", "2.0", "1000"]
        );
    }
}
