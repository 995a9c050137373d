// SPDX-License-Identifier: GPL-2.0
//! The text of histograms, as tracefs has it.

/// An entry: its keys and its values, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry(Vec<(String, i128)>);

impl Entry {
    /// The key or value of that name.
    pub fn get(&self, name: &str) -> Option<i128> {
        let mut fields = self.0.iter();
        fields.find(|(of, _)| of == name).map(|&(_, number)| number)
    }
}

/// All histograms of an event, one after the other.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Hist {
    /// Their entries.
    pub entries: Vec<Entry>,
    /// How often there was no room for an entry.
    pub dropped: u64,
}

/// Reads an event's `hist` file. What is no entry is passed over.
pub fn parse(text: &str) -> Hist {
    let mut hist = Hist::default();
    for line in text.lines().map(str::trim) {
        if let Some(dropped) = line.strip_prefix("Dropped:") {
            hist.dropped += dropped.trim().parse::<u64>().unwrap_or(0);
        } else if let Some(entry) = entry(line) {
            hist.entries.push(entry);
        }
    }
    hist
}

/// `{ vm: 1, what: 2 } hitcount: 3  waited: 4`
fn entry(line: &str) -> Option<Entry> {
    let (keys, values) = line.strip_prefix('{')?.split_once('}')?;
    let mut fields = Vec::new();
    for key in keys.split(',') {
        let (name, number) = key.split_once(':')?;
        // Of a key by powers of two it is the exponent.
        let number = number.trim().trim_start_matches("~ 2^");
        fields.push((name.trim().to_owned(), number.parse().ok()?));
    }
    let mut words = values.split_whitespace();
    while let Some(name) = words.next() {
        let name = name.strip_suffix(':')?;
        fields.push((name.to_owned(), words.next()?.parse().ok()?));
    }
    Some(Entry(fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# event histogram
#
# trigger info: hist:keys=vm,vcpu_id,outcome:vals=hitcount,waited:sort=hitcount:size=16384 [active]
#

{ vm: 18446619283562201088, vcpu_id:          0, outcome:          3 } hitcount:          5  waited:          2
{ vm: 18446619283562201088, vcpu_id:          5, outcome:          0 } hitcount:         20  waited:          0

Totals:
    Hits: 25
    Entries: 2
    Dropped: 3


# event histogram
#
# trigger info: hist:keys=vm,error:vals=hitcount:sort=hitcount:size=2048 [active]
#

{ vm:          1, error:        -14 } hitcount:          7
{ vm:          1, ns: ~ 2^17 } hitcount:          8

Totals:
    Hits: 7
    Entries: 1
    Dropped: 1
";

    #[test]
    fn keys_and_values_of_all_histograms() {
        let hist = parse(TEXT);
        assert_eq!(hist.dropped, 4);
        let of = |index: usize, name| hist.entries[index].get(name);
        assert_eq!(hist.entries.len(), 4);
        assert_eq!(of(0, "vm"), Some(18446619283562201088));
        assert_eq!(of(0, "outcome"), Some(3));
        assert_eq!(of(0, "hitcount"), Some(5));
        assert_eq!(of(0, "waited"), Some(2));
        assert_eq!(of(1, "vcpu_id"), Some(5));
        assert_eq!(of(2, "error"), Some(-14));
        assert_eq!(of(2, "outcome"), None);
        assert_eq!(of(3, "ns"), Some(17));
    }

    #[test]
    fn what_is_no_entry() {
        for line in [
            "",
            "# {",
            "{ vm: x } hitcount: 1",
            "{ vm: 1 } hitcount",
            "{ vm: 1",
        ] {
            assert_eq!(parse(line), Hist::default(), "{line}");
        }
    }
}
