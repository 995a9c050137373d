// SPDX-License-Identifier: GPL-2.0
//! What has to change in a module: which symbols to mark, which relocations to move where.

use std::collections::BTreeMap;

use anyhow::{bail, ensure, Result};
use object::elf::{self, SHF_ALLOC};
use object::LittleEndian as LE;

use crate::alternative::Sites;
use crate::elf::{damaged, Module, Rela, Section, SHF_RELA_LIVEPATCH, SHN_LIVEPATCH};
use crate::name::{self, KlpSymbol};
use crate::section;

/// The changes to a module: none if it has no livepatch symbols, or has been linked.
pub struct Plan {
    /// Indices of the symbols that become `SHN_LIVEPATCH`.
    pub marks: Vec<usize>,
    /// The relocation sections that lose entries.
    pub splits: Vec<Split>,
    /// The livepatch relocations, those to make or those that have been made: for each symbol, how
    /// many there are in each section.
    pub relocations: BTreeMap<KlpSymbol, BTreeMap<Vec<u8>, usize>>,
}

/// A relocation section, divided into what stays and what livepatch applies.
pub struct Split {
    /// Its index.
    pub section: usize,
    /// The section that it relocates.
    pub target: usize,
    /// The name of that.
    pub target_name: Vec<u8>,
    /// What stays.
    pub keep: Vec<Rela>,
    /// What moves, by object. Each object has a section of its own, since each comes at a time of
    /// its own, and the kernel refuses `vmlinux` symbols among those of a module.
    pub moved: BTreeMap<String, Vec<Rela>>,
}

impl Plan {
    /// Looks at a module, and at everything in it that would be refused.
    pub fn new(module: &Module<'_>) -> Result<Self> {
        let mut planner = Planner {
            module,
            symbols: BTreeMap::new(),
            sites: Sites::read(module)?,
            errors: Vec::new(),
            plan: Self {
                marks: Vec::new(),
                splits: Vec::new(),
                relocations: BTreeMap::new(),
            },
        };
        planner.read_symbols()?;
        let mut linked = false;
        for (index, section, name) in module.sections() {
            if section.sh_flags.get(LE).contains(SHF_RELA_LIVEPATCH) {
                planner.read_linked(section, name)?;
                linked = true;
            } else {
                planner.refuse_rel(section)?;
                planner.split(index, section, name)?;
            }
        }
        planner.finish(linked)
    }

    fn add_relocation(&mut self, symbol: &KlpSymbol, section: &[u8]) {
        let sections = self.relocations.entry(symbol.clone()).or_default();
        *sections.entry(section.to_vec()).or_default() += 1;
    }

    /// Whether the module is fine as it is.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty() && self.splits.is_empty()
    }
}

struct Planner<'a, 'data> {
    module: &'a Module<'data>,
    symbols: BTreeMap<usize, KlpSymbol>,
    sites: Sites,
    errors: Vec<String>,
    plan: Plan,
}

impl Planner<'_, '_> {
    fn refuse(&mut self, error: impl ToString) {
        let error = error.to_string();
        // Many relocations may be wrong in the same way.
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    fn read_symbols(&mut self) -> Result<()> {
        for symbol in self.module.symbols() {
            let (index, symbol, name) = symbol?;
            if !name::is_livepatch(name) {
                continue;
            }
            let text = || String::from_utf8_lossy(name).into_owned();
            match KlpSymbol::parse(name) {
                Ok(klp) => {
                    self.plan.relocations.entry(klp.clone()).or_default();
                    self.symbols.insert(index, klp);
                }
                Err(reason) => self.refuse(format!("{}: malformed name: {reason}", text())),
            }
            match symbol.st_shndx.get(LE) {
                // Even one that nothing refers to: the loader would look for it.
                elf::SHN_UNDEF => self.plan.marks.push(index),
                SHN_LIVEPATCH => {}
                _ => self.refuse(format!(
                    "{}: defined in this module; only declare it",
                    text()
                )),
            }
        }
        Ok(())
    }

    /// Takes the relocations of an earlier run into the report.
    fn read_linked(&mut self, section: &Section, name: &[u8]) -> Result<()> {
        let (_, target) = self.module.section(section.sh_info.get(LE) as usize)?;
        for rela in self.module.relas(section, name)?.unwrap_or_default() {
            let symbol = rela.r_sym(LE, false) as usize;
            let Some(symbol) = self.symbols.get(&symbol) else {
                let name = String::from_utf8_lossy(name);
                let what = format!("{name}: symbol {symbol} isn't a livepatch symbol");
                return Err(damaged(what));
            };
            self.plan.add_relocation(symbol, target);
        }
        Ok(())
    }

    fn refuse_rel(&mut self, section: &Section) -> Result<()> {
        for symbol in self.module.rel_symbols(section)? {
            if let Some(symbol) = self.symbols.get(&symbol) {
                let (_, target) = self.module.section(section.sh_info.get(LE) as usize)?;
                self.refuse(format!(
                    "{}: {symbol}: a relocation without addend (SHT_REL), which x86-64 lacks; \
                     build the module again",
                    String::from_utf8_lossy(target)
                ));
            }
        }
        Ok(())
    }

    fn split(&mut self, index: usize, section: &Section, name: &[u8]) -> Result<()> {
        let relas = self.module.relas(section, name)?.unwrap_or_default();
        let is_livepatch = |rela: &Rela| {
            // R_X86_64_NONE is what a linker leaves of relocations that it has done without.
            rela.r_type(LE, false) != elf::R_X86_64_NONE
                && self.symbols.contains_key(&(rela.r_sym(LE, false) as usize))
        };
        let (moved, keep): (Vec<Rela>, Vec<Rela>) = relas.iter().partition(|r| is_livepatch(r));
        if moved.is_empty() {
            return Ok(());
        }
        let target = section.sh_info.get(LE) as usize;
        let (target_section, target_name) = self.module.section(target)?;
        if !target_section.sh_flags.get(LE).contains(SHF_ALLOC) {
            // Debug information, which the loader neither loads nor relocates.
            return Ok(());
        }

        let mut split = Split {
            section: index,
            target,
            target_name: target_name.to_vec(),
            keep,
            moved: BTreeMap::new(),
        };
        for rela in moved {
            let symbol = self.symbols[&(rela.r_sym(LE, false) as usize)].clone();
            if let Err(error) = self.check(&split, target_section, &rela, &symbol) {
                self.refuse(error);
            }
            self.plan.add_relocation(&symbol, target_name);
            split.moved.entry(symbol.object).or_default().push(rela);
        }
        self.plan.splits.push(split);
        Ok(())
    }

    /// Whether the kernel will take a relocation as a livepatch relocation.
    fn check(
        &self,
        split: &Split,
        target: &Section,
        rela: &Rela,
        symbol: &KlpSymbol,
    ) -> Result<()> {
        let start = rela.r_offset.get(LE);
        let section = String::from_utf8_lossy(&split.target_name);
        let place = format!("{section}+{start:#x}: {symbol}");
        if !symbol.is_vmlinux() {
            let flags = target.sh_flags.get(LE);
            if let Err(refusal) = section::late_relocation(&split.target_name, flags) {
                bail!(
                    "{section}: {symbol}: {}; {}",
                    refusal.reason,
                    refusal.advice
                );
            }
        }

        // The types of write_relocate_add(), which the loader uses for livepatch relocations too.
        let width = match rela.r_type(LE, false) {
            elf::R_X86_64_64 | elf::R_X86_64_PC64 => 8,
            elf::R_X86_64_32 | elf::R_X86_64_32S | elf::R_X86_64_PC32 | elf::R_X86_64_PLT32 => 4,
            elf::RelocationType(r_type) => bail!(
                "{place}: the kernel can't apply relocations of type {r_type}; \
                 build with -Crelocation-model=static (C: -fno-pic)"
            ),
        };
        let range = start..start.saturating_add(width);
        let bytes = usize::try_from(range.start)
            .ok()
            .zip(usize::try_from(range.end).ok())
            .and_then(|(start, end)| self.module.contents(target).get(start..end));
        let Some(bytes) = bytes else {
            return Err(damaged(format!("{place}: outside of the section")));
        };
        ensure!(
            bytes.iter().all(|&byte| byte == 0),
            "{place}: the bytes to relocate aren't zero, as the kernel wants them; \
             build the module again"
        );
        ensure!(
            symbol.is_vmlinux() || !self.sites.touch(split.target, &range),
            "{place}: inside an ALTERNATIVE, which is patched before the symbol is known; \
             move the reference out of it"
        );
        Ok(())
    }

    fn finish(mut self, linked: bool) -> Result<Plan> {
        if !self.plan.is_empty() {
            if !self.module.is_livepatch() {
                self.refuse(
                    "no livepatch= in .modinfo, so the kernel would not apply the relocations; \
                     add livepatch=Y",
                );
            }
            if self.module.is_signed() {
                self.refuse("signed, which any change makes invalid; sign after this step");
            }
            if linked {
                self.refuse("linked, though not all of it; build the module again");
            }
        }
        ensure!(self.errors.is_empty(), "{}", self.errors.join("\n"));
        Ok(self.plan)
    }
}
