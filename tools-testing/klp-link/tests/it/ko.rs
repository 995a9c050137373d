// SPDX-License-Identifier: GPL-2.0
//! Small modules: a writer, and a reader to check what became of them.

use std::collections::HashMap;

use object::elf::{self, FileHeader64, RelocationType, SectionFlags, SectionHeader64, Sym64};
use object::read::elf::{FileHeader, SectionHeader, SectionTable, SymbolTable};
use object::write::{self, Object, SectionId, Symbol, SymbolId, SymbolSection};
use object::{Architecture, BinaryFormat, Endianness, LittleEndian as LE, SectionKind};
use object::{SectionIndex, SymbolFlags, SymbolKind, SymbolScope};

pub const SHN_LIVEPATCH: u16 = 0xff20;
pub const SHF_RELA_LIVEPATCH: u64 = 0x0010_0000;
pub const CODE: SectionFlags = SectionFlags(elf::SHF_ALLOC.0 | elf::SHF_EXECINSTR.0);
pub const DATA: SectionFlags = SectionFlags(elf::SHF_ALLOC.0 | elf::SHF_WRITE.0);

/// A module in the making.
pub struct Ko {
    pub object: Object<'static>,
    sections: HashMap<String, SectionId>,
    symbols: HashMap<String, SymbolId>,
}

impl Ko {
    /// A livepatch module with 64 zero bytes of `.text`.
    pub fn new() -> Self {
        let mut ko = Self::bare();
        let modinfo = b"license=GPL\0livepatch=Y\0";
        ko.section(".modinfo", elf::SHT_PROGBITS, elf::SHF_ALLOC, modinfo);
        ko
    }

    /// The same without `.modinfo`.
    pub fn bare() -> Self {
        let object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
        let mut ko = Self {
            object,
            sections: HashMap::new(),
            symbols: HashMap::new(),
        };
        ko.zeros(".text", CODE);
        ko
    }

    pub fn section(
        &mut self,
        name: &str,
        sh_type: elf::SectionType,
        sh_flags: SectionFlags,
        data: &[u8],
    ) -> SectionId {
        let kind = match sh_type {
            elf::SHT_NOBITS => SectionKind::UninitializedData,
            _ => SectionKind::Data,
        };
        let id = self.object.add_section(Vec::new(), name.into(), kind);
        let section = self.object.section_mut(id);
        section.flags = object::SectionFlags::Elf { sh_type, sh_flags };
        match sh_type {
            elf::SHT_NOBITS => section.append_bss(data.len() as u64, 8),
            _ => section.append_data(data, 8),
        };
        self.sections.insert(name.into(), id);
        id
    }

    /// A section of 64 zero bytes.
    pub fn zeros(&mut self, name: &str, flags: SectionFlags) -> SectionId {
        self.section(name, elf::SHT_PROGBITS, flags, &[0; 64])
    }

    /// An undefined symbol, made when it is first asked for.
    pub fn undefined(&mut self, name: &str) -> SymbolId {
        self.symbol(name, SymbolSection::Undefined)
    }

    /// A global symbol at the start of a section.
    pub fn define(&mut self, name: &str, section: &str) -> SymbolId {
        let section = self.sections[section];
        self.symbol(name, SymbolSection::Section(section))
    }

    fn symbol(&mut self, name: &str, section: SymbolSection) -> SymbolId {
        let object = &mut self.object;
        let kind = match section {
            SymbolSection::Undefined => SymbolKind::Unknown,
            _ => SymbolKind::Text,
        };
        *self.symbols.entry(name.into()).or_insert_with(|| {
            object.add_symbol(Symbol {
                name: name.into(),
                value: 0,
                size: 0,
                kind,
                scope: SymbolScope::Dynamic,
                weak: false,
                section,
                flags: SymbolFlags::None,
            })
        })
    }

    /// A relocation to an undefined symbol.
    pub fn rela(
        &mut self,
        section: &str,
        offset: u64,
        r_type: RelocationType,
        symbol: &str,
        addend: i64,
    ) -> &mut Self {
        let symbol = self.undefined(symbol);
        self.rela_to(section, offset, r_type, symbol, addend)
    }

    /// A relocation to any symbol.
    pub fn rela_to(
        &mut self,
        section: &str,
        offset: u64,
        r_type: RelocationType,
        symbol: SymbolId,
        addend: i64,
    ) -> &mut Self {
        let relocation = write::Relocation {
            offset,
            symbol,
            addend,
            flags: object::RelocationFlags::Elf { r_type },
        };
        let section = self.sections[section];
        self.object.add_relocation(section, relocation).unwrap();
        self
    }

    /// A call: a `R_X86_64_PLT32` with the addend that calls have.
    pub fn call(&mut self, section: &str, offset: u64, symbol: &str) -> &mut Self {
        self.rela(section, offset, elf::R_X86_64_PLT32, symbol, -4)
    }

    pub fn build(&self) -> Vec<u8> {
        self.object.write().unwrap()
    }
}

/// One relocation: offset, type, symbol, addend.
pub type RelaRow = (u64, u32, String, i64);

/// A module as read.
pub struct View<'data> {
    data: &'data [u8],
    pub header: &'data FileHeader64<LE>,
    sections: SectionTable<'data, FileHeader64<LE>>,
    symbols: SymbolTable<'data, FileHeader64<LE>>,
}

impl<'data> View<'data> {
    pub fn new(data: &'data [u8]) -> Self {
        let header = FileHeader64::<LE>::parse(data).unwrap();
        let sections = header.sections(LE, data).unwrap();
        let symbols = sections.symbols(LE, data, elf::SHT_SYMTAB).unwrap();
        Self {
            data,
            header,
            sections,
            symbols,
        }
    }

    pub fn headers(&self) -> &'data [SectionHeader64<LE>] {
        self.sections.iter().as_slice()
    }

    pub fn name(&self, section: &SectionHeader64<LE>) -> String {
        let name = self.sections.section_name(LE, section).unwrap();
        String::from_utf8(name.to_vec()).unwrap()
    }

    pub fn names(&self) -> Vec<String> {
        self.headers()
            .iter()
            .map(|header| self.name(header))
            .collect()
    }

    /// The only section of a name, and its index.
    pub fn section(&self, name: &str) -> (usize, &'data SectionHeader64<LE>) {
        let all = self.sections.enumerate();
        let mut all = all.filter(|(_, header)| self.name(header) == name);
        let (SectionIndex(index), header) = all.next().unwrap_or_else(|| panic!("no {name}"));
        assert!(all.next().is_none(), "two sections {name}");
        (index, header)
    }

    pub fn contents(&self, header: &SectionHeader64<LE>) -> &'data [u8] {
        header.data(LE, self.data).unwrap()
    }

    pub fn relas(&self, name: &str) -> Vec<RelaRow> {
        let (_, section) = self.section(name);
        let (relas, link) = section.rela(LE, self.data).unwrap().unwrap();
        assert_eq!(link, self.symbols.section());
        let row = |rela: &elf::Rela64<LE>| {
            let symbol = self.symbols.symbols()[rela.r_sym(LE, false) as usize];
            let name = self.symbols.symbol_name(LE, &symbol).unwrap();
            let name = String::from_utf8(name.to_vec()).unwrap();
            let r_type = rela.r_type(LE, false).0;
            (rela.r_offset.get(LE), r_type, name, rela.r_addend.get(LE))
        };
        relas.iter().map(row).collect()
    }

    pub fn symbols(&self) -> &'data [Sym64<LE>] {
        self.symbols.symbols()
    }

    pub fn symbol_name(&self, symbol: &Sym64<LE>) -> String {
        let name = self.symbols.symbol_name(LE, symbol).unwrap();
        String::from_utf8(name.to_vec()).unwrap()
    }

    /// `st_shndx` of the symbol of a name.
    pub fn shndx(&self, name: &str) -> u16 {
        let mut all = self.symbols().iter();
        let symbol = all.find(|symbol| self.symbol_name(symbol) == name);
        symbol
            .unwrap_or_else(|| panic!("no {name}"))
            .st_shndx
            .get(LE)
            .0
    }
}

/// A module of which every kind of change is made: three objects, code, data and constants.
pub fn sample() -> Ko {
    let mut ko = Ko::new();
    ko.zeros(".data", DATA);
    ko.zeros(".rodata", elf::SHF_ALLOC);
    ko.zeros(".init.text", CODE);
    ko.define("init_module", ".init.text");
    ko.call(".text", 1, "printk")
        .call(".text", 9, ".klp.sym.kvm.kvm_gpc_refresh,0")
        .call(".text", 17, "__fentry__")
        .call(".text", 25, ".klp.sym.vmlinux.lookup,3")
        .rela(
            ".text",
            33,
            elf::R_X86_64_32S,
            ".klp.sym.kvm_amd.svm_ops,0",
            8,
        )
        .rela(
            ".text",
            41,
            elf::R_X86_64_PC32,
            ".klp.sym.kvm.vm_list,0",
            -12,
        )
        .rela(".data", 0, elf::R_X86_64_64, ".klp.sym.kvm.vm_list,0", 16)
        .rela(".data", 8, elf::R_X86_64_64, "printk", 0)
        .rela(
            ".rodata",
            8,
            elf::R_X86_64_PC64,
            ".klp.sym.kvm.kvm_lock,0",
            0,
        )
        .call(".init.text", 3, ".klp.sym.vmlinux.lookup,3");
    ko
}

/// Links what has to be linked.
pub fn link(module: &[u8]) -> Vec<u8> {
    let linked = klp_link::link(module).unwrap_or_else(|errors| panic!("{errors}"));
    linked.expect("nothing was done").module
}
