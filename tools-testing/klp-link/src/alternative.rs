// SPDX-License-Identifier: GPL-2.0
//! Code that the kernel patches while it loads a module.
//!
//! `apply_alternatives()` overwrites the instructions at each site that `.altinstructions` lists,
//! if only by better NOPs, long before a symbol of another module is known. A livepatch
//! relocation into such a site would find other bytes than it expects.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::Result;
use object::elf;
use object::read::elf::Sym;
use object::LittleEndian as LE;

use crate::elf::{damaged, Module, Rela};

/// `struct alt_instr`: the site and its replacement as 32-bit offsets, 32 bits of flags, and
/// the two lengths.
const ENTRY_SIZE: usize = 14;
const ENTRY_SITE: usize = 0;
const ENTRY_SITE_LEN: usize = 12;

/// The sites of a module, by section.
#[derive(Default)]
pub struct Sites(BTreeMap<usize, Vec<Range<u64>>>);

impl Sites {
    /// Reads `.altinstructions`, if the module has it.
    pub fn read(module: &Module<'_>) -> Result<Self> {
        let mut sites = Self::default();
        for (index, section, name) in module.sections() {
            if name != b".altinstructions" {
                continue;
            }
            let entries = module.contents(section);
            if entries.len() % ENTRY_SIZE != 0 {
                return Err(damaged(format!(
                    ".altinstructions has entries of another size than {ENTRY_SIZE} bytes"
                )));
            }
            for (_, relas, name) in module.sections() {
                let target = relas.sh_info.get(LE) as usize;
                if let Some(relas) = module.relas(relas, name)?.filter(|_| target == index) {
                    for rela in relas {
                        sites.add(module, entries, rela)?;
                    }
                }
            }
        }
        Ok(sites)
    }

    /// Takes the site from a relocation in the table: what is there before it is applied is zero.
    fn add(&mut self, module: &Module<'_>, entries: &[u8], rela: &Rela) -> Result<()> {
        let Ok(at) = usize::try_from(rela.r_offset.get(LE)) else {
            return Ok(());
        };
        if at % ENTRY_SIZE != ENTRY_SITE || rela.r_type(LE, false) == elf::R_X86_64_NONE {
            return Ok(());
        }
        let len = at
            .checked_add(ENTRY_SITE_LEN)
            .and_then(|at| entries.get(at));
        let symbol = module.symbol(rela.r_sym(LE, false) as usize)?;
        let (Some(len), Some(section)) = (len, symbol.st_shndx(LE).index()) else {
            return Ok(());
        };
        let start = symbol
            .st_value(LE)
            .wrapping_add_signed(rela.r_addend.get(LE));
        let site = start..start.saturating_add(u64::from(*len));
        self.0.entry(section.into()).or_default().push(site);
        Ok(())
    }

    /// Whether any byte of a range in a section is patched.
    pub fn touch(&self, section: usize, range: &Range<u64>) -> bool {
        let sites = self.0.get(&section).into_iter().flatten();
        let mut sites = sites.filter(|site| site.start < range.end && range.start < site.end);
        sites.next().is_some()
    }
}
