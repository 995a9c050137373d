// SPDX-License-Identifier: GPL-2.0
//! Bits that the module's code sets and clears in memory: always with the prefix `lock`. Emulated
//! processors take turns, and no test in a machine notices one that lacks it.

use anyhow::{Context as _, Result};
use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};
use std::fs;
use std::path::Path;

/// The instructions that change a bit of memory, and those of them without the prefix, a line each.
#[derive(Default)]
pub struct Found {
    /// How many there are.
    pub all: usize,
    /// Those that are not atomic.
    pub plain: Vec<String>,
}

/// Reads a module file.
pub fn find(module: &Path) -> Result<Found> {
    let data = fs::read(module).with_context(|| module.display().to_string())?;
    let file = object::File::parse(&*data).with_context(|| module.display().to_string())?;
    let mut found = Found::default();
    for symbol in file.symbols() {
        let (Ok(name), Some(index)) = (symbol.name(), symbol.section_index()) else {
            continue;
        };
        if symbol.kind() == SymbolKind::Text && symbol.size() > 0 {
            let section = file.section_by_index(index)?;
            let code = section
                .data_range(symbol.address(), symbol.size())?
                .with_context(|| format!("{name} is not all in its section"))?;
            look(name, code, &mut found);
        }
    }
    Ok(found)
}

fn look(name: &str, code: &[u8], found: &mut Found) {
    let mut decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        let mnemonic = instruction.mnemonic();
        let changes_a_bit = matches!(mnemonic, Mnemonic::Bts | Mnemonic::Btr | Mnemonic::Btc);
        if changes_a_bit && instruction.op0_kind() == OpKind::Memory {
            found.all += 1;
            if !instruction.has_lock_prefix() {
                found
                    .plain
                    .push(format!("{name}+{:#x}: {mnemonic:?}", instruction.ip()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bit_in_memory_is_changed_with_the_prefix() {
        // lock bts %eax,(%rdi); bts %eax,(%rdi); bts %eax,%ecx; bt %eax,(%rdi)
        let code = b"\xf0\x0f\xab\x07\x0f\xab\x07\x0f\xab\xc1\x0f\xa3\x07";
        let mut found = Found::default();
        look("f", code, &mut found);
        assert_eq!(found.all, 2);
        assert_eq!(found.plain, ["f+0x4: Bts"]);
    }
}
