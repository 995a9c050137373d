// SPDX-License-Identifier: GPL-2.0
//! What has to change in a module: which symbols to mark, which relocations to move where.

use std::collections::BTreeMap;

use object::elf::{self, SHF_ALLOC};
use object::LittleEndian as LE;

use crate::alternative::Sites;
use crate::elf::{Module, Rela, Section, SHF_RELA_LIVEPATCH, SHN_LIVEPATCH};
use crate::error::{Error, Errors, Place};
use crate::name::{self, KlpSymbol};
use crate::report::{Report, State};
use crate::section;

/// The changes to a module: none if it has no livepatch symbols, or has been linked.
pub struct Plan {
    /// Indices of the symbols that become `SHN_LIVEPATCH`.
    pub marks: Vec<usize>,
    /// The relocation sections that lose entries.
    pub splits: Vec<Split>,
    /// The livepatch relocations, those to make or those that have been made.
    pub report: Report,
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
    pub fn new(module: &Module<'_>) -> Result<Self, Errors> {
        let mut planner = Planner {
            module,
            symbols: BTreeMap::new(),
            sites: Sites::read(module)?,
            errors: Vec::new(),
            plan: Self {
                marks: Vec::new(),
                splits: Vec::new(),
                report: Report::default(),
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

    /// Whether the module is fine as it is.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty() && self.splits.is_empty()
    }
}

struct Planner<'a, 'data> {
    module: &'a Module<'data>,
    symbols: BTreeMap<usize, KlpSymbol>,
    sites: Sites,
    errors: Vec<Error>,
    plan: Plan,
}

impl Planner<'_, '_> {
    fn refuse(&mut self, error: Error) {
        // Many relocations may be wrong in the same way.
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    fn read_symbols(&mut self) -> Result<(), Error> {
        for symbol in self.module.symbols() {
            let (index, symbol, name) = symbol?;
            if !name::is_livepatch(name) {
                continue;
            }
            let text = || String::from_utf8_lossy(name).into_owned();
            match KlpSymbol::parse(name) {
                Ok(klp) => {
                    self.plan.report.add_symbol(&klp);
                    self.symbols.insert(index, klp);
                }
                Err(reason) => self.refuse(Error::Name {
                    symbol: text(),
                    reason,
                }),
            }
            match symbol.st_shndx.get(LE) {
                // Even one that nothing refers to: the loader would look for it.
                elf::SHN_UNDEF => self.plan.marks.push(index),
                SHN_LIVEPATCH => {}
                _ => self.refuse(Error::Defined { symbol: text() }),
            }
        }
        Ok(())
    }

    /// Takes the relocations of an earlier run into the report.
    fn read_linked(&mut self, section: &Section, name: &[u8]) -> Result<(), Error> {
        let (_, target) = self.module.section(section.sh_info.get(LE) as usize)?;
        for rela in self.module.relas(section, name)?.unwrap_or_default() {
            let symbol = rela.r_sym(LE, false) as usize;
            let Some(symbol) = self.symbols.get(&symbol) else {
                let name = String::from_utf8_lossy(name);
                return Err(Error::Damaged(format!(
                    "{name}: symbol {symbol} isn't a livepatch symbol"
                )));
            };
            self.plan.report.add_relocation(symbol, target);
        }
        Ok(())
    }

    fn refuse_rel(&mut self, section: &Section) -> Result<(), Error> {
        for symbol in self.module.rel_symbols(section)? {
            if let Some(symbol) = self.symbols.get(&symbol) {
                let (_, target) = self.module.section(section.sh_info.get(LE) as usize)?;
                let error = Error::NoAddend {
                    section: String::from_utf8_lossy(target).into_owned(),
                    symbol: symbol.to_string(),
                };
                self.refuse(error);
            }
        }
        Ok(())
    }

    fn split(&mut self, index: usize, section: &Section, name: &[u8]) -> Result<(), Error> {
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
            self.plan.report.add_relocation(&symbol, target_name);
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
    ) -> Result<(), Error> {
        let start = rela.r_offset.get(LE);
        let place = Place {
            section: String::from_utf8_lossy(&split.target_name).into_owned(),
            offset: start,
            symbol: symbol.to_string(),
        };
        if !symbol.is_vmlinux() {
            let flags = target.sh_flags.get(LE);
            section::late_relocation(&split.target_name, flags).map_err(|refusal| {
                Error::Section {
                    section: place.section.clone(),
                    symbol: place.symbol.clone(),
                    reason: refusal.reason,
                    advice: refusal.advice,
                }
            })?;
        }

        // The types of write_relocate_add(), which the loader uses for livepatch relocations too.
        let r_type = rela.r_type(LE, false);
        let width = match r_type {
            elf::R_X86_64_64 | elf::R_X86_64_PC64 => 8,
            elf::R_X86_64_32 | elf::R_X86_64_32S | elf::R_X86_64_PC32 | elf::R_X86_64_PLT32 => 4,
            elf::RelocationType(r_type) => return Err(Error::Type { place, r_type }),
        };
        let range = start..start.saturating_add(width);
        let bytes = usize::try_from(range.start)
            .ok()
            .zip(usize::try_from(range.end).ok())
            .and_then(|(start, end)| self.module.contents(target).get(start..end));
        match bytes {
            None => Err(Error::Damaged(format!("{place}: outside of the section"))),
            Some(bytes) if bytes.iter().any(|&byte| byte != 0) => Err(Error::NotZero { place }),
            Some(_) if !symbol.is_vmlinux() && self.sites.touch(split.target, &range) => {
                Err(Error::Alternative { place })
            }
            Some(_) => Ok(()),
        }
    }

    /// The name of a symbol for which something is to be done.
    fn pending_symbol(&self) -> String {
        let moved = self
            .plan
            .splits
            .iter()
            .flat_map(|split| split.moved.values());
        let moved = moved.flatten().map(|rela| rela.r_sym(LE, false) as usize);
        let mut pending = self.plan.marks.iter().copied().chain(moved);
        let symbol = pending.find_map(|index| self.symbols.get(&index));
        symbol.map(KlpSymbol::to_string).unwrap_or_default()
    }

    fn finish(mut self, linked: bool) -> Result<Plan, Errors> {
        let pending = !self.plan.is_empty();
        if pending {
            if !self.module.is_livepatch() {
                self.refuse(Error::NotLivepatch);
            }
            if self.module.is_signed() {
                self.refuse(Error::Signed);
            }
            if linked {
                let symbol = self.pending_symbol();
                self.refuse(Error::LinkedBefore { symbol });
            }
        }
        self.plan.report.state = match (pending, self.symbols.is_empty()) {
            (true, _) => State::ToMake,
            (false, false) => State::Made,
            (false, true) => State::None,
        };
        if self.errors.is_empty() {
            Ok(self.plan)
        } else {
            Err(Errors(self.errors))
        }
    }
}
