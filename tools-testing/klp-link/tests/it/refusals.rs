// SPDX-License-Identifier: GPL-2.0
//! Every reason to refuse a module, each in one line that names what is wrong.

use klp_link::{Error, NameError, Place};
use object::elf::{self, FileHeader64, RelocationType, SectionHeader64};
use object::{pod, LittleEndian as LE};

use crate::ko::{link, sample, Ko, View, CODE, DATA};

const SYMBOL: &str = ".klp.sym.kvm.vm_list,0";

fn errors(module: &[u8]) -> Vec<Error> {
    let errors = klp_link::link(module)
        .expect_err("this should be refused")
        .0;
    assert_eq!(klp_link::inspect(module).unwrap_err().0, errors);
    for error in &errors {
        assert!(!error.to_string().contains('\n'), "{error}");
    }
    errors
}

/// The only error, as its line.
fn error(module: &[u8]) -> String {
    match &errors(module)[..] {
        [error] => error.to_string(),
        errors => panic!("{} errors: {errors:?}", errors.len()),
    }
}

fn place(section: &str, offset: u64) -> Place {
    Place {
        section: section.into(),
        offset,
        symbol: SYMBOL.into(),
    }
}

fn header(module: &mut [u8]) -> &mut FileHeader64<LE> {
    pod::from_bytes_mut(module).unwrap().0
}

/// The header of a section, to be changed.
fn section<'a>(module: &'a mut [u8], name: &str) -> &'a mut SectionHeader64<LE> {
    let view = View::new(module);
    let (index, _) = view.section(name);
    let at = view.header.e_shoff.get(LE) as usize + 64 * index;
    pod::from_bytes_mut(&mut module[at..]).unwrap().0
}

#[test]
fn other_files() {
    assert_eq!(errors(b""), [Error::NotElf]);
    assert_eq!(errors(b"\xfd7zXZ\0"), [Error::NotElf]);
    assert_eq!(errors(&[0; 4096]), [Error::NotElf]);

    let module = sample().build();
    let mut program = module.clone();
    header(&mut program).e_type.set(LE, elf::ET_DYN);
    assert_eq!(errors(&program), [Error::NotRelocatable]);
    let mut arm = module.clone();
    header(&mut arm).e_machine.set(LE, elf::EM_AARCH64);
    assert_eq!(errors(&arm), [Error::NotX86_64]);
    for (at, value) in [(4, 1), (5, 2)] {
        let mut other = module.clone();
        other[at] = value; // EI_CLASS: 32 bits; EI_DATA: big endian
        assert_eq!(errors(&other), [Error::NotX86_64]);
    }
}

#[test]
fn damaged_files() {
    let module = sample().build();
    let damaged = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut module = module.clone();
        change(&mut module);
        let line = error(&module);
        assert!(line.starts_with("damaged or truncated: "), "{line}");
        line
    };
    assert!(damaged(&|m| m.truncate(20)).contains("ELF header"));
    assert!(damaged(&|m| m.truncate(m.len() - 1)).contains("section headers"));
    assert!(damaged(&|m| header(m).e_shnum.set(LE, 0)).contains("section headers"));
    assert!(damaged(&|m| header(m).e_shentsize.set(LE, 63)).contains("section headers"));
    let line = damaged(&|m| header(m).e_shstrndx.set(LE, elf::SymbolSection(1)));
    assert!(line.contains("section names"), "{line}");
    let line = damaged(&|m| {
        let (_, names) = View::new(m).section(".shstrtab");
        let last = names.sh_offset.get(LE) + names.sh_size.get(LE) - 1;
        m[last as usize] = b'x';
    });
    assert!(line.contains("section names"), "{line}");
    let line = damaged(&|m| section(m, ".data").sh_size.set(LE, 1 << 40));
    assert!(line.contains(".data"), "{line}");
    let line = damaged(&|m| section(m, ".rela.text").sh_size.set(LE, 25));
    assert!(line.contains(".rela.text"), "{line}");
    let line = damaged(&|m| section(m, ".rela.text").sh_link.set(LE, 1));
    assert!(line.contains(".rela.text"), "{line}");
    let line = damaged(&|m| section(m, ".rela.text").sh_info.set(LE, 99));
    assert!(line.contains("no section 99"), "{line}");
    let line = damaged(&|m| section(m, ".text").sh_size.set(LE, 44));
    assert!(
        line.contains(".text+0x29: .klp.sym.kvm.vm_list,0: outside"),
        "{line}"
    );
    let line = damaged(&|m| section(m, ".symtab").sh_link.set(LE, 1));
    assert!(line.contains("symbol table"), "{line}");
    let line = damaged(&|m| {
        let other = View::new(m).section(".rela.data").1.sh_offset.get(LE);
        section(m, ".symtab").sh_offset.set(LE, other);
    });
    assert!(line.contains("name"), "{line}");
}

#[test]
fn empty_relocation_sections_are_not_looked_at() {
    let mut module = sample().build();
    section(&mut module, ".rela.init.text").sh_size.set(LE, 0);
    section(&mut module, ".rela.init.text").sh_link.set(LE, 0);
    section(&mut module, ".rela.init.text").sh_info.set(LE, 0);
    link(&module);
}

#[test]
fn overlapping_sections() {
    let mut module = sample().build();
    let text = View::new(&module).section(".rela.text").1.sh_offset.get(LE);
    // The same relocations twice, which are then moved in the same bytes twice, differently.
    section(&mut module, ".rela.data")
        .sh_offset
        .set(LE, text + 24);
    section(&mut module, ".rela.data").sh_size.set(LE, 3 * 24);
    // Which shows only when it is done.
    let errors = klp_link::link(&module).unwrap_err();
    assert!(errors.to_string().contains("sections overlap"), "{errors}");
}

#[test]
fn symbol_tables() {
    let mut module = sample().build();
    section(&mut module, ".symtab")
        .sh_type
        .set(LE, elf::SHT_PROGBITS);
    assert_eq!(errors(&module), [Error::SymbolTables(0)]);
    let mut module = sample().build();
    section(&mut module, ".strtab")
        .sh_type
        .set(LE, elf::SHT_SYMTAB);
    assert_eq!(errors(&module), [Error::SymbolTables(2)]);
}

#[test]
fn malformed_names() {
    for (name, reason) in [
        (".klp.sym.kvm.vm_list", NameError::Shape),
        (".klp.sym.kvm-amd.svm,0", NameError::Object),
        (".klp.sym.kvm.vm_list,first", NameError::Position),
    ] {
        let mut ko = Ko::new();
        ko.call(".text", 1, name).call(".text", 9, name);
        let symbol = name.to_string();
        assert_eq!(errors(&ko.build()), [Error::Name { symbol, reason }]);
    }
}

#[test]
fn sections_that_the_loader_reads() {
    for (name, flags, advice) in [
        ("__jump_table", DATA, "static_key_enabled()"),
        (".static_call_sites", DATA, "__SCT__"),
        ("__tracepoints", DATA, "__traceiter_"),
        ("__tracepoints_ptrs", DATA, "__traceiter_"),
        (".altinstructions", elf::SHF_ALLOC, "ALTERNATIVE"),
        (".altinstr_replacement", CODE, "ALTERNATIVE"),
        (".init.text", CODE, "section that stays"),
        (".init.data", DATA, "section that stays"),
        ("__ex_table", elf::SHF_ALLOC, "in code of this module"),
        (".data..percpu", DATA, "from code"),
        ("__param", elf::SHF_ALLOC, "from code"),
        (".gnu.linkonce.this_module", DATA, "from code"),
    ] {
        let mut ko = Ko::new();
        ko.section(name, elf::SHT_PROGBITS, flags, &[0; 28]);
        ko.rela(name, 0, elf::R_X86_64_64, SYMBOL, 0)
            .rela(name, 16, elf::R_X86_64_64, SYMBOL, 0);
        // Once for both of them.
        let line = error(&ko.build());
        assert!(line.starts_with(&format!("{name}: {SYMBOL}: ")), "{line}");
        assert!(line.contains(advice), "{line}");
    }
}

#[test]
fn relocations_that_the_kernel_cannot_apply() {
    for r_type in [
        elf::R_X86_64_GOTPCREL,
        elf::R_X86_64_REX_GOTPCRELX,
        elf::R_X86_64_16,
        RelocationType(250),
    ] {
        let mut ko = Ko::new();
        ko.rela(".text", 3, r_type, SYMBOL, -4);
        let (place, r_type) = (place(".text", 3), r_type.0);
        assert_eq!(errors(&ko.build()), [Error::Type { place, r_type }]);
    }
}

#[test]
fn bytes_that_are_not_zero() {
    let mut ko = Ko::new();
    ko.section(".data", elf::SHT_PROGBITS, DATA, &[0, 0, 0, 0, 0, 0, 0, 1]);
    ko.rela(".data", 0, elf::R_X86_64_64, SYMBOL, 0);
    let place = place(".data", 0);
    assert_eq!(errors(&ko.build()), [Error::NotZero { place }]);
}

#[test]
fn bytes_that_are_not_there() {
    let mut ko = Ko::new();
    ko.section(".data.bss", elf::SHT_NOBITS, DATA, &[0; 64]);
    ko.rela(".data.bss", 0, elf::R_X86_64_64, SYMBOL, 0);
    assert!(error(&ko.build()).contains("outside of the section"));
    let mut ko = Ko::new();
    ko.rela(".text", u64::MAX - 1, elf::R_X86_64_64, SYMBOL, 0);
    assert!(error(&ko.build()).contains("outside of the section"));
}

#[test]
fn inside_of_an_alternative() {
    for (offset, r_type) in [
        (13, elf::R_X86_64_PC32),
        (17, elf::R_X86_64_PLT32),
        (23, elf::R_X86_64_64),
    ] {
        let mut ko = Ko::new();
        // Two sites: .text+40, 4 bytes; .text+16, 8 bytes.
        let mut entries = [0; 28];
        entries[12] = 4;
        entries[26] = 8;
        ko.section(
            ".altinstructions",
            elf::SHT_PROGBITS,
            elf::SHF_ALLOC,
            &entries,
        );
        let text = ko.define("text", ".text");
        ko.rela_to(".altinstructions", 0, elf::R_X86_64_PC32, text, 40)
            .rela_to(".altinstructions", 14, elf::R_X86_64_PC32, text, 16)
            .rela(".text", offset, r_type, SYMBOL, 0);
        let place = place(".text", offset);
        assert_eq!(errors(&ko.build()), [Error::Alternative { place }]);
    }
    let mut ko = Ko::new();
    ko.section(
        ".altinstructions",
        elf::SHT_PROGBITS,
        elf::SHF_ALLOC,
        &[0; 13],
    );
    ko.call(".text", 1, SYMBOL);
    assert!(error(&ko.build()).contains(".altinstructions has entries of another size"));
}

#[test]
fn symbols_that_the_module_defines() {
    let mut ko = Ko::new();
    ko.define(SYMBOL, ".text");
    let symbol = SYMBOL.to_string();
    assert_eq!(errors(&ko.build()), [Error::Defined { symbol }]);
}

#[test]
fn relocations_without_addends() {
    let mut ko = Ko::new();
    // { r_offset, r_info }: symbol 2, type R_X86_64_PC32.
    let rel = [1, (2 << 32) | 2_u64].map(u64::to_le_bytes).concat();
    ko.section(".rel.text", elf::SHT_REL, elf::SectionFlags(0), &rel);
    ko.undefined("printk");
    ko.undefined(SYMBOL);
    let mut module = ko.build();
    let (text, _) = View::new(&module).section(".text");
    section(&mut module, ".rel.text")
        .sh_info
        .set(LE, text as u32);
    let (section, symbol) = (".text".to_string(), SYMBOL.to_string());
    assert_eq!(errors(&module), [Error::NoAddend { section, symbol }]);
}

#[test]
fn modules_that_are_no_livepatches() {
    let mut ko = Ko::bare();
    let modinfo = b"license=GPL\0notlivepatch=Y\0";
    ko.section(".modinfo", elf::SHT_PROGBITS, elf::SHF_ALLOC, modinfo);
    ko.call(".text", 1, SYMBOL);
    assert_eq!(errors(&ko.build()), [Error::NotLivepatch]);
    let mut ko = Ko::bare();
    ko.call(".text", 1, SYMBOL);
    assert_eq!(errors(&ko.build()), [Error::NotLivepatch]);
}

#[test]
fn signed_modules() {
    let signature = b"PKCS#7\0~Module signature appended~\n";
    let module = [&sample().build(), &signature[..]].concat();
    assert_eq!(errors(&module), [Error::Signed]);
    // Signed after it was linked: that is how it should be.
    let linked = [&link(&sample().build()), &signature[..]].concat();
    assert_eq!(klp_link::link(&linked).unwrap().module, None);
}

#[test]
fn modules_that_are_linked_in_part() {
    let mut module = link(&sample().build());
    let view = View::new(&module);
    let mut symbols = view.symbols().iter();
    let index = symbols.position(|symbol| view.symbol_name(symbol) == SYMBOL);
    let at = view.section(".symtab").1.sh_offset.get(LE) as usize + 24 * index.unwrap();
    module[at + 6..at + 8].copy_from_slice(&[0, 0]); // st_shndx = SHN_UNDEF
    let expected: &[_] = &[Error::LinkedBefore {
        symbol: SYMBOL.into(),
    }];
    assert_eq!(errors(&module), expected);
}

#[test]
fn livepatch_relocations_to_other_symbols() {
    let mut ko = Ko::new();
    ko.call(".text", 1, "printk");
    let mut module = ko.build();
    let flags = &mut section(&mut module, ".rela.text").sh_flags;
    flags.set(
        LE,
        flags.get(LE) | elf::SectionFlags(crate::ko::SHF_RELA_LIVEPATCH),
    );
    assert!(error(&module).contains("isn't a livepatch symbol"));
}

#[test]
fn all_that_is_wrong_at_once() {
    let mut ko = Ko::bare();
    ko.zeros("__jump_table", DATA);
    ko.rela("__jump_table", 8, elf::R_X86_64_64, SYMBOL, 0)
        .rela(".text", 3, elf::R_X86_64_GOTPCREL, SYMBOL, -4)
        .call(".text", 9, ".klp.sym.kvm.vm_list");
    let errors = errors(&ko.build());
    assert_eq!(errors.len(), 4);
    assert!(matches!(errors[0], Error::Name { .. }));
    let of = |wanted: fn(&Error) -> bool| errors.iter().filter(|error| wanted(error)).count();
    assert_eq!(of(|error| matches!(error, Error::Section { .. })), 1);
    assert_eq!(of(|error| matches!(error, Error::Type { .. })), 1);
    assert_eq!(of(|error| matches!(error, Error::NotLivepatch)), 1);
}

#[test]
fn too_many_sections() {
    // One more section than the loader can count would be needed.
    let mut module = sample().build();
    let mut headers = View::new(&module).headers().to_vec();
    headers.resize(0xff00 - 5, headers[0]);
    module.resize(module.len().next_multiple_of(8), 0);
    let table = module.len() as u64;
    module.extend_from_slice(pod::bytes_of_slice(&headers));
    header(&mut module).e_shoff.set(LE, table);
    header(&mut module).e_shnum.set(LE, headers.len() as u16);
    // It could be read, but not linked.
    assert!(klp_link::inspect(&module).is_ok());
    assert_eq!(
        klp_link::link(&module).unwrap_err().0,
        [Error::TooManySections]
    );
}
