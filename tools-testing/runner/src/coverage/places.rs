// SPDX-License-Identifier: GPL-2.0
//! The places of a module file that tell whether they have run: calls that LLVM has put into each
//! basic block.

use anyhow::{Context, Result};
use iced_x86::{Decoder, DecoderOptions, FlowControl};
use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget, SectionKind, SymbolKind};
use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// What is called.
const CALLED: &str = "__sanitizer_cov_trace_pc";

/// Offsets in the code of the initialization come after so many others, as in `trace_pc.c`.
const INIT: u64 = 256 * 1024;

/// A place, and what runs when it does.
pub struct Place {
    /// As the machine tells it.
    pub number: u32,
    /// The section that it is in.
    pub section: String,
    /// The addresses of its block's instructions.
    pub code: Vec<u64>,
}

/// The places of a module.
pub fn find(module: &Path) -> Result<Vec<Place>> {
    let data = fs::read(module).with_context(|| module.display().to_string())?;
    let file = object::File::parse(&*data).with_context(|| module.display().to_string())?;
    let mut places = Vec::new();
    // Where the kernel puts the next section: of the code, and of that of the initialization.
    let mut next = [0, INIT];
    for section in file.sections() {
        // That is code which is loaded.
        if section.kind() != SectionKind::Text {
            continue;
        }
        let name = section.name()?;
        let next = &mut next[usize::from(name.starts_with(".init"))];
        let base = next.next_multiple_of(section.align().max(1));
        *next = base + section.size();

        let is_call = |target| match target {
            RelocationTarget::Symbol(index) => file
                .symbol_by_index(index)
                .is_ok_and(|symbol| symbol.name() == Ok(CALLED)),
            _ => false,
        };
        // The displacement is the last four bytes of a call.
        let calls = section
            .relocations()
            .filter(|(_, relocation)| is_call(relocation.target()))
            .map(|(at, _)| at + 4);
        let calls: HashSet<u64> = calls.collect();
        for symbol in file.symbols() {
            let is_here = symbol.section_index() == Some(section.index());
            if symbol.kind() != SymbolKind::Text || !is_here || symbol.size() == 0 {
                continue;
            }
            let code = section.data_range(symbol.address(), symbol.size())?;
            let code = code.context("a function is not all in its section")?;
            for (at, code) in blocks(code, symbol.address(), &calls) {
                places.push(Place {
                    number: (base + at) as u32,
                    section: name.to_owned(),
                    code,
                });
            }
        }
    }
    Ok(places)
}

/// The blocks of a function's code that have a place, with its address, which is the one after the
/// call. What stands between a jump and a place is the place's; without one, what comes after a jump
/// that is not always taken is as before it, and nothing is known of the rest.
fn blocks(code: &[u8], start: u64, calls: &HashSet<u64>) -> Vec<(u64, Vec<u64>)> {
    let mut blocks: Vec<(u64, Vec<u64>)> = Vec::new();
    let mut pending = Vec::new();
    let mut is_known = false;
    for instruction in Decoder::with_ip(64, code, start, DecoderOptions::NONE) {
        pending.push(instruction.ip());
        let next = instruction.next_ip();
        let flow = instruction.flow_control();
        if calls.contains(&next) {
            blocks.push((next, std::mem::take(&mut pending)));
            is_known = true;
        } else if !matches!(flow, FlowControl::Next | FlowControl::Call) {
            let pending = std::mem::take(&mut pending);
            if let Some((_, code)) = blocks.last_mut().filter(|_| is_known) {
                code.extend(pending);
            }
            is_known &= flow == FlowControl::ConditionalBranch;
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_that_of_the_place_before_or_at_the_end_of_a_jump() {
        // push; call; nop; je; nop; call; jmp; nop; ret
        let code = b"\x50\xe8\0\0\0\0\x90\x74\x00\x90\xe8\0\0\0\0\xeb\x00\x90\xc3";
        let blocks = blocks(code, 0, &HashSet::from([6, 15]));
        assert_eq!(blocks, [(6, vec![0, 1, 6, 7]), (15, vec![9, 10, 15])]);
    }
}
