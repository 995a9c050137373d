// SPDX-License-Identifier: GPL-2.0
//! The livepatch relocations of a module as a table for people.

use std::collections::BTreeMap;
use std::fmt;

use crate::name::KlpSymbol;

/// How far a module is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// It has no livepatch symbols.
    #[default]
    None,
    /// Its livepatch relocations are still ordinary ones.
    ToMake,
    /// It has been linked.
    Made,
}

/// How many relocations there are to each symbol, and from where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Whether the relocations have been made.
    pub state: State,
    symbols: BTreeMap<KlpSymbol, BTreeMap<String, usize>>,
}

impl Report {
    /// Takes note of a symbol; it is listed even if nothing refers to it.
    pub fn add_symbol(&mut self, symbol: &KlpSymbol) {
        self.symbols.entry(symbol.clone()).or_default();
    }

    /// Takes note of a relocation of a section.
    pub fn add_relocation(&mut self, symbol: &KlpSymbol, section: &[u8]) {
        let section = String::from_utf8_lossy(section).into_owned();
        let sections = self.symbols.entry(symbol.clone()).or_default();
        *sections.entry(section).or_default() += 1;
    }

    /// Each symbol with each section that refers to it, and how often.
    pub fn rows(&self) -> impl Iterator<Item = (&KlpSymbol, &str, usize)> {
        self.symbols.iter().flat_map(|(symbol, sections)| {
            let unused = sections.is_empty().then_some((symbol, "-", 0));
            let used = sections.iter();
            let used = used.map(move |(section, count)| (symbol, section.as_str(), *count));
            used.chain(unused)
        })
    }
}

impl Report {
    /// The totals, in a line.
    pub fn summary(&self) -> String {
        let state = match self.state {
            State::None => return "no livepatch symbols".into(),
            State::ToMake => "to make",
            State::Made => "made",
        };
        let total: usize = self.rows().map(|(_, _, count)| count).sum();
        let symbols = self.symbols.len();
        format!("{total} livepatch relocations to {symbols} symbols {state}")
    }
}

impl fmt::Display for Report {
    /// The table, and a last line with the totals.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.state == State::None {
            return writeln!(f, "{}", self.summary());
        }
        let mut table = vec![["OBJECT", "SYMBOL", "SECTION", "COUNT"].map(String::from)];
        for (symbol, section, count) in self.rows() {
            let name = match symbol.position {
                0 => symbol.name.clone(),
                position => format!("{},{position}", symbol.name),
            };
            table.push([
                symbol.object.clone(),
                name,
                section.into(),
                count.to_string(),
            ]);
        }
        let width = |column: usize| table.iter().map(|row| row[column].len()).max();
        let [w0, w1, w2, w3] = [0, 1, 2, 3].map(|column| width(column).unwrap_or(0));
        for [object, symbol, section, count] in &table {
            writeln!(f, "{object:w0$}  {symbol:w1$}  {section:w2$}  {count:>w3$}")?;
        }
        writeln!(f, "{}", self.summary())
    }
}
