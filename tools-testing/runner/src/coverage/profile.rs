// SPDX-License-Identifier: GPL-2.0
//! What LLVM's runtime would write at the end of a program, for a module: its "raw profile", in
//! version 10, that of LLVM 19.

use anyhow::{Context, Result};
use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget};

/// "\xfflprofr\x81", as a number.
const MAGIC: u64 = u64::from_be_bytes(*b"\xfflprofr\x81");
const VERSION: u64 = 10;

/// Length of a record of a function.
const RECORD: u64 = 64;
/// Where in a record it is how far its counters are from it.
const TO_COUNTERS: u64 = 16;

/// The profile of the module in `data`, whose counters have come to `counts`. What is after them in
/// the machine's memory may be counted, too, and is nothing.
pub fn raw(data: &[u8], counts: &[u64]) -> Result<Vec<u8>> {
    let file = object::File::parse(data).context("the module")?;
    let section = |name: &str| {
        let section = file.section_by_name(name);
        section.with_context(|| format!("the module has no {name}: it is built without coverage"))
    };
    let counters = section("__llvm_prf_cnts")?;
    let records = section("__llvm_prf_data")?;
    let names = section("__llvm_prf_names")?.data()?.to_vec();
    let count = counters.size() / 8;
    let counts = counts.get(..count as usize);
    let counts = counts.with_context(|| format!("the machines have not counted all {count}"))?;

    // The records, with the counters behind them.
    let mut bytes = records.data()?.to_vec();
    let distance = bytes.len() as u64;
    for (at, relocation) in records.relocations() {
        let RelocationTarget::Symbol(symbol) = relocation.target() else {
            continue;
        };
        let symbol = file.symbol_by_index(symbol)?;
        if at % RECORD == TO_COUNTERS && symbol.section_index() == Some(counters.index()) {
            let target = (distance + symbol.address()).wrapping_add_signed(relocation.addend());
            let field = &mut bytes[at as usize..][..8];
            field.copy_from_slice(&target.wrapping_sub(at).to_le_bytes());
        }
    }
    let header = [
        MAGIC,
        VERSION,
        0, // ids of the binary
        bytes.len() as u64 / RECORD,
        0,
        count,
        0,
        0, // bitmaps
        0,
        names.len() as u64,
        distance,
        0,
        0,
        0, // virtual tables
        0,
        2, // kinds of values
    ];
    let mut profile: Vec<u8> = header.into_iter().flat_map(u64::to_le_bytes).collect();
    profile.extend(bytes);
    profile.extend(counts.iter().flat_map(|count| count.to_le_bytes()));
    profile.extend(names);
    profile.resize(profile.len().next_multiple_of(8), 0);
    Ok(profile)
}
