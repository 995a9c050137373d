// SPDX-License-Identifier: GPL-2.0
//! A module file, checked as far as the kernel checks it, and its tables.

use std::fmt::Display;

use anyhow::{anyhow, bail, Error, Result};
use object::elf::{self, FileHeader64, SectionHeader64, Sym64};
use object::read::elf::{FileHeader, SectionHeader, SectionTable, SymbolTable};
use object::{LittleEndian as LE, SectionIndex, SymbolIndex};

/// `st_shndx` of a symbol that livepatch resolves.
pub const SHN_LIVEPATCH: elf::SymbolSection = elf::SymbolSection(0xff20);
/// `sh_flags` of a section of relocations that livepatch applies.
pub const SHF_RELA_LIVEPATCH: elf::SectionFlags = elf::SectionFlags(0x0010_0000);

/// A section header of a module.
pub type Section = SectionHeader64<LE>;
/// A symbol of a module.
pub type Symbol = Sym64<LE>;
/// A relocation of a module.
pub type Rela = elf::Rela64<LE>;

const NOT_X86_64: &str = "not an x86-64 ELF file; no other modules can be linked";

/// What follows a signed module, at the very end of the file.
const SIGNATURE_MAGIC: &[u8] = b"~Module signature appended~\n";

/// A relocatable x86-64 file whose sections all lie inside of it.
pub struct Module<'data> {
    data: &'data [u8],
    header: &'data FileHeader64<LE>,
    sections: SectionTable<'data, FileHeader64<LE>>,
    names: Vec<&'data [u8]>,
    symbols: SymbolTable<'data, FileHeader64<LE>>,
}

/// Something lies outside of the file or contradicts itself.
pub fn damaged(what: impl Display) -> Error {
    anyhow!("damaged or truncated: {what}; build the module again")
}

impl<'data> Module<'data> {
    /// Reads the tables of a module file.
    pub fn parse(data: &'data [u8]) -> Result<Self> {
        let header = file_header(data)?;
        // The module loader knows no extended numbering, so the header's own fields are the truth.
        let count = header.e_shnum(LE);
        let strings = header.e_shstrndx(LE).index();
        let sections = header
            .sections(LE, data)
            .map_err(|_| damaged("the section headers aren't all in the file"))?;
        if count == 0 || sections.len() != usize::from(count) {
            return Err(damaged("no section headers"));
        }
        let strings = strings
            .and_then(|index| sections.section(SectionIndex(index.into())).ok())
            .filter(|section| section.sh_type(LE) == elf::SHT_STRTAB)
            .and_then(|section| section.data(LE, data).ok());
        if strings.and_then(<[u8]>::last) != Some(&0) {
            return Err(damaged("no table of section names"));
        }

        let mut names = Vec::with_capacity(sections.len());
        for (index, section) in sections.enumerate() {
            let inside = section.sh_type(LE) == elf::SHT_NULL || section.data(LE, data).is_ok();
            match sections.section_name(LE, section) {
                Ok(name) if inside => names.push(name),
                _ if section.sh_type(LE) == elf::SHT_NULL => names.push(b""),
                Ok(name) => {
                    let name = String::from_utf8_lossy(name);
                    return Err(damaged(format!("section {name} isn't all in the file")));
                }
                Err(_) => return Err(damaged(format!("section {} has no name", index.0))),
            }
        }

        let symbols = symbol_table(data, &sections)?;
        Ok(Self {
            data,
            header,
            sections,
            names,
            symbols,
        })
    }

    /// The whole file.
    pub fn data(&self) -> &'data [u8] {
        self.data
    }

    /// The ELF header.
    pub fn header(&self) -> &'data FileHeader64<LE> {
        self.header
    }

    /// Every section but the null section, with its index and name.
    pub fn sections(&self) -> impl Iterator<Item = (usize, &'data Section, &'data [u8])> + '_ {
        let named = self.sections.enumerate().zip(&self.names).skip(1);
        named.map(|((index, section), name)| (index.0, section, *name))
    }

    /// The headers of all sections, with that of the null section.
    pub fn headers(&self) -> &'data [Section] {
        self.sections.iter().as_slice()
    }

    /// The section that another one's `sh_info` or a symbol's `st_shndx` names, and its name.
    pub fn section(&self, index: usize) -> Result<(&'data Section, &'data [u8])> {
        let section = self.sections.section(SectionIndex(index));
        section
            .ok()
            .zip(self.names.get(index).copied())
            .ok_or_else(|| damaged(format!("there is no section {index}")))
    }

    /// The bytes of a section, none for `SHT_NOBITS`.
    pub fn contents(&self, section: &Section) -> &'data [u8] {
        // parse() has seen that the sections are in the file, all but SHT_NULL ones.
        section.data(LE, self.data).unwrap_or_default()
    }

    /// The index of the symbol table's section.
    pub fn symbol_section(&self) -> usize {
        self.symbols.section().0
    }

    /// Every symbol but the null symbol, with its index and name.
    pub fn symbols(
        &self,
    ) -> impl Iterator<Item = Result<(usize, &'data Symbol, &'data [u8])>> + '_ {
        self.symbols.enumerate().skip(1).map(|(index, symbol)| {
            let name = self.symbols.symbol_name(LE, symbol);
            let name = name.map_err(|_| damaged(format!("symbol {} has no name", index.0)))?;
            Ok((index.0, symbol, name))
        })
    }

    /// The symbol that a relocation names.
    pub fn symbol(&self, index: usize) -> Result<&'data Symbol> {
        self.symbols
            .symbol(SymbolIndex(index))
            .map_err(|_| damaged(format!("there is no symbol {index}")))
    }

    /// The relocations in a section, if it is of relocations with addends.
    pub fn relas(&self, section: &Section, name: &[u8]) -> Result<Option<&'data [Rela]>> {
        let odd = || {
            damaged(format!(
                "{}: odd relocations",
                String::from_utf8_lossy(name)
            ))
        };
        let Some((relas, link)) = section.rela(LE, self.data).map_err(|_| odd())? else {
            return Ok(None);
        };
        if !relas.is_empty() && link != self.symbols.section() {
            return Err(odd());
        }
        Ok(Some(relas))
    }

    /// The symbols that the relocations in a section name, if it is of relocations without addends.
    pub fn rel_symbols(&self, section: &Section) -> Result<Vec<usize>> {
        let rels = section
            .rel(LE, self.data)
            .map_err(|_| damaged("odd relocations"))?;
        let rels = rels.map(|(rels, _)| rels).unwrap_or_default();
        Ok(rels.iter().map(|rel| rel.r_sym(LE) as usize).collect())
    }

    /// Whether `.modinfo` has `livepatch=`, by which the loader knows a livepatch module.
    pub fn is_livepatch(&self) -> bool {
        self.sections()
            .filter(|(_, _, name)| *name == b".modinfo")
            .flat_map(|(_, section, _)| self.contents(section).split(|&byte| byte == 0))
            .any(|entry| entry.starts_with(b"livepatch="))
    }

    /// Whether a module signature has been appended.
    pub fn is_signed(&self) -> bool {
        self.data.ends_with(SIGNATURE_MAGIC)
    }
}

fn file_header(data: &[u8]) -> Result<&FileHeader64<LE>> {
    if !data.starts_with(&elf::ELFMAG) {
        bail!("not an ELF file; give the module as the linker made it, not a compressed one");
    }
    // Of the right class and byte order, and long enough for a header.
    let header = match FileHeader64::<LE>::parse(data) {
        Ok(header) => header,
        Err(_) if data.len() < size_of::<FileHeader64<LE>>() => {
            return Err(damaged("the ELF header isn't all in the file"));
        }
        Err(_) => bail!(NOT_X86_64),
    };
    if header.endian().is_err() || header.e_machine(LE) != elf::EM_X86_64 {
        bail!(NOT_X86_64);
    }
    if header.e_type(LE) != elf::ET_REL {
        bail!("not relocatable (ET_REL); give a .ko, not a program or a library");
    }
    Ok(header)
}

fn symbol_table<'data>(
    data: &'data [u8],
    sections: &SectionTable<'data, FileHeader64<LE>>,
) -> Result<SymbolTable<'data, FileHeader64<LE>>> {
    let tables = sections.iter();
    let count = tables
        .filter(|section| section.sh_type(LE) == elf::SHT_SYMTAB)
        .count();
    if count != 1 {
        bail!("{count} symbol tables where a module has 1; don't strip it before this step");
    }
    sections
        .symbols(LE, data, elf::SHT_SYMTAB)
        .ok()
        .filter(|symbols| symbols.string_section().0 != 0)
        .ok_or_else(|| damaged("the symbol table and its strings don't fit together"))
}
