// SPDX-License-Identifier: GPL-2.0
//! Jumps from a function that replaces one of KVM's to another function of the module.
//!
//! Livepatch looks for such functions on the stacks of tasks, to tell who is still in the module.
//! One that ends in a jump to another is on no stack while that runs, and the module can be removed
//! under it. A jump to the kernel's code does no harm: it does not return here. Where a jump through a
//! register or memory leads is not known.

use anyhow::{Context as _, Result};
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction};
use object::{
    Object, ObjectSection, ObjectSymbol, RelocationTarget, SectionIndex, SymbolKind, SymbolSection,
};
use std::collections::HashMap;
use std::fs;
use std::ops::Range;
use std::path::Path;

/// Beginnings of the names of what is seen from outside, and replaces nothing; "__pfx_" names the
/// room before a function. Four are what C makes of a tracepoint: who is in one of these has been
/// called, by what is on the stack.
const OURS: [&str; 9] = [
    "kvm_xen_rs_",
    "init_module",
    "cleanup_module",
    "_R",
    "__pfx_",
    "rust_do_trace_",
    "__SCT__tp_func_",
    "__traceiter_",
    "__probestub_",
];

/// What the 32-bit displacement of an instruction refers to, by its offset in the section: whether
/// that may be in the module.
type Relocations = HashMap<u64, bool>;

/// What an indirect jump is called where the processor must not guess its target.
const THUNK: &str = "__x86_indirect_thunk_";

/// The functions of a module file that replace others, and what is wrong with them, a line each.
pub struct Found {
    /// Their names.
    pub functions: Vec<String>,
    /// Those that leave by a jump.
    pub jumps: Vec<String>,
}

/// Reads a module file.
pub fn find(module: &Path) -> Result<Found> {
    let data = fs::read(module).with_context(|| module.display().to_string())?;
    let file = object::File::parse(&*data).with_context(|| module.display().to_string())?;
    let mut found = Found {
        functions: Vec::new(),
        jumps: Vec::new(),
    };
    let mut relocations: HashMap<SectionIndex, Relocations> = HashMap::new();
    for symbol in file.symbols() {
        let is_function = symbol.kind() == SymbolKind::Text && symbol.is_global();
        let (Ok(name), Some(index)) = (symbol.name(), symbol.section_index()) else {
            continue;
        };
        if !is_function || symbol.size() == 0 || OURS.iter().any(|ours| name.starts_with(ours)) {
            continue;
        }
        let section = file.section_by_index(index)?;
        let range = symbol.address()..symbol.address() + symbol.size();
        let code = section
            .data_range(range.start, symbol.size())?
            .with_context(|| format!("{name} is not all in its section"))?;
        let relocations = relocations
            .entry(index)
            .or_insert_with(|| in_module(&file, &section));
        found.functions.push(name.to_owned());
        if let Some(at) = leaves(code, &range, relocations) {
            found.jumps.push(format!("{name}+{:#x}", at - range.start));
        }
    }
    Ok(found)
}

fn in_module(file: &object::File<'_>, section: &object::Section<'_, '_>) -> Relocations {
    let is_inside = |target| match target {
        RelocationTarget::Symbol(index) => file.symbol_by_index(index).is_ok_and(|symbol| {
            let is_thunk = symbol.name().is_ok_and(|name| name.starts_with(THUNK));
            is_thunk || matches!(symbol.section(), SymbolSection::Section(_))
        }),
        _ => true,
    };
    let relocations = section.relocations();
    relocations
        .map(|(offset, relocation)| (offset, is_inside(relocation.target())))
        .collect()
}

/// Where the code of a function at `range` of its section jumps to another one of the module.
fn leaves(code: &[u8], range: &Range<u64>, relocations: &Relocations) -> Option<u64> {
    let mut decoder = Decoder::with_ip(64, code, range.start, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        let flow = instruction.flow_control();
        if flow == FlowControl::IndirectBranch {
            return Some(instruction.ip());
        }
        let is_jump = matches!(
            flow,
            FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch
        );
        // A displacement that is still to be filled in is the last four bytes.
        let leaves = match relocations.get(&(instruction.next_ip() - 4)) {
            Some(is_inside) => *is_inside,
            None => !range.contains(&instruction.near_branch_target()),
        };
        if is_jump && leaves {
            return Some(instruction.ip());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a function of that code, which is at 0x100.
    fn jump(code: &[u8], relocations: &[(u64, bool)]) -> Option<u64> {
        let range = 0x100..0x100 + code.len() as u64;
        leaves(code, &range, &relocations.iter().copied().collect())
    }

    #[test]
    fn calls_and_loops_stay() {
        // call +0x1000; jmp to itself; ret
        assert_eq!(jump(b"\xe8\x00\x10\x00\x00\xeb\xfe\xc3", &[]), None);
        // A call into the module.
        assert_eq!(jump(b"\xe8\x00\x00\x00\x00\xc3", &[(0x101, true)]), None);
    }

    #[test]
    fn jumps_to_another_function_are_found() {
        // nop; jmp +0x1000
        assert_eq!(jump(b"\x90\xe9\x00\x10\x00\x00", &[]), Some(0x101));
        // je +0x1000; ret
        assert_eq!(jump(b"\x0f\x84\x00\x10\x00\x00\xc3", &[]), Some(0x100));
        assert_eq!(jump(b"\xe9\x00\x00\x00\x00", &[(0x101, true)]), Some(0x100));
    }

    #[test]
    fn nobody_knows_where_an_indirect_jump_leads() {
        // nop; jmp *%r11
        assert_eq!(jump(b"\x90\x41\xff\xe3", &[]), Some(0x101));
    }

    #[test]
    fn jumps_to_the_kernel_do_no_harm() {
        // As the linker leaves a return, with the return thunk.
        assert_eq!(jump(b"\xe9\x00\x00\x00\x00", &[(0x101, false)]), None);
    }
}
