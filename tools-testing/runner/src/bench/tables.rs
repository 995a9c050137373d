// SPDX-License-Identifier: GPL-2.0
//! Results as tables: for a person, and for the document.

use super::results::{Measured, Results};
use crate::table::{number, table, Align};
use protocol::{Beside, Contention, Sent, Server, GROWTH};

/// A table, whose first column is words, and the others numbers.
pub struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// What the paths cost, without what could not be computed.
    pub fn of_paths(results: &Results) -> Self {
        let paths = results.paths.iter();
        let paths = paths.filter(|path| !path.name.starts_with(GROWTH));
        let row = |path: &Measured| {
            let text = |value: Option<u64>| value.map_or(String::new(), number);
            let part =
                |value: Option<f64>| value.map_or(String::new(), |part| format!("{part:.2}"));
            let spread = |server| path.costs.get(&server).map(|spread| spread.width());
            vec![
                path.name.clone(),
                text(results.cost(path, Server::C)),
                text(results.cost(path, Server::Rust)),
                text(spread(Server::C).max(spread(Server::Rust))),
                text(results.livepatch_of(path)),
                text(results.above(path, Server::C)),
                text(results.above(path, Server::Rust)),
                part(results.ratio_above(path)),
                part(results.ratio(path)),
                part(results.ratio_without_livepatch(path)),
            ]
        };
        let columns = [
            "path",
            "C",
            "Rust",
            "spread",
            "livepatch",
            "C above floor",
            "Rust",
            "Rust/C",
            "of all",
            "less livepatch",
        ];
        Self {
            columns: columns.map(str::to_owned).into(),
            rows: paths.map(row).collect(),
        }
    }

    /// What paths cost where there is more of something: C, and Rust.
    pub fn of_growth(results: &Results) -> Self {
        let mut columns = vec!["path".to_owned()];
        let mut rows: Vec<Vec<String>> = Vec::new();
        for path in &results.paths {
            let name = path.name.strip_prefix(GROWTH);
            let Some((name, size)) = name.and_then(|name| name.split_once('/')) else {
                continue;
            };
            if !columns.iter().any(|column| column == size) {
                columns.push(size.to_owned());
            }
            let costs = [Server::C, Server::Rust].map(|server| results.cost(path, server));
            let cell = both(costs);
            match rows.iter_mut().find(|row| row[0] == name) {
                Some(row) => row.push(cell),
                None => rows.push(vec![name.to_owned(), cell]),
            }
        }
        Self { columns, rows }
    }

    /// What happened to many senders at once: on C, and on Rust.
    pub fn of_contention(results: &Results) -> Self {
        let columns = [
            "sent by",
            "senders",
            "ports",
            "events",
            "changes beside",
            "by the workqueue",
            "mapped again",
            "lock waited for",
        ];
        let of = |server| {
            let counts = results.contention.iter();
            counts.filter(move |counted| counted.server == server)
        };
        let row = |c: &Contention| {
            let rust = of(Server::Rust).find(|rust| rust.crowd == c.crowd);
            let cell = |count: fn(&Contention) -> u64| both([Some(count(c)), rust.map(count)]);
            let sent = match c.crowd.sent {
                Sent::Ioctl => "ioctl",
                Sent::Irqfd => "irqfd",
                Sent::OtherProcess => "another process",
            };
            let beside = match c.crowd.beside {
                Beside::Ports => "ports",
                Beside::Pages => "pages",
            };
            vec![
                sent.to_owned(),
                c.crowd.senders.to_string(),
                c.crowd.ports.to_string(),
                number(c.events),
                format!("{beside}: {}", cell(|counted| counted.changes)),
                cell(|counted| counted.bounced),
                cell(|counted| counted.refreshed),
                cell(|counted| counted.waited),
            ]
        };
        Self {
            columns: columns.map(str::to_owned).into(),
            rows: of(Server::C).map(row).collect(),
        }
    }

    /// For a person; nothing where there is nothing in it.
    pub fn lines(&self) -> Vec<String> {
        if self.rows.is_empty() {
            return Vec::new();
        }
        let columns = self.columns.iter().enumerate().map(|(at, name)| {
            let align = if at == 0 { Align::Left } else { Align::Right };
            (name.as_str(), align)
        });
        table(&columns.collect::<Vec<_>>(), &self.rows)
    }

    /// For the document.
    pub fn rst(&self) -> String {
        let mut text = ".. list-table::\n   :header-rows: 1\n\n".to_owned();
        for row in [&self.columns].into_iter().chain(&self.rows) {
            for (at, cell) in row.iter().enumerate() {
                let lead = if at == 0 { "   * - " } else { "     - " };
                text.push_str(format!("{lead}{cell}").trim_end());
                text.push('\n');
            }
        }
        text
    }
}

/// What is of C, and of Rust.
fn both(numbers: [Option<u64>; 2]) -> String {
    let [c, rust] = numbers.map(|value| value.map_or("–".to_owned(), number));
    format!("{c} / {rust}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accel::Accel;
    use protocol::Cost;

    #[test]
    fn a_row_for_each_path_and_a_column_for_each_size() {
        let cost = |size: &str, server, ticks| Cost {
            path: format!("{GROWTH}send/{size}"),
            floor: None,
            entries: 0,
            server,
            ticks,
        };
        let costs = [
            cost("1 port", Server::C, 1000),
            cost("100 ports", Server::C, 1001),
            cost("1 port", Server::Rust, 900),
        ];
        let results = Results::new("7.2", Accel::Counted, "abc", &costs);
        let growth = Table::of_growth(&results);
        assert_eq!(growth.columns, ["path", "1 port", "100 ports"]);
        assert_eq!(growth.rows, [["send", "1,000 / 900", "1,001 / –"]]);
        assert!(Table::of_paths(&results).rows.is_empty());
    }
}
