// SPDX-License-Identifier: GPL-2.0
//! Every reason to refuse a module, each in one line that names what is wrong.

use object::elf::{self, FileHeader64, RelocationType, SectionHeader64};
use object::{pod, LittleEndian as LE};

use crate::ko::{link, sample, Ko, View, CODE, DATA};

const SYMBOL: &str = ".klp.sym.kvm.vm_list,0";

fn errors(module: &[u8]) -> Vec<String> {
    let errors = klp_link::link(module).expect_err("this should be refused");
    errors.to_string().lines().map(str::to_owned).collect()
}

/// The only error.
#[track_caller]
fn error(module: &[u8]) -> String {
    let errors = errors(module);
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors.concat()
}

/// Refused for one reason, which says so.
#[track_caller]
fn refused(module: &[u8], words: &str) {
    let line = error(module);
    assert!(line.contains(words), "no {words:?} in {line:?}");
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
    for other in [&b""[..], b"\xfd7zXZ\0", &[0; 4096]] {
        refused(other, "not an ELF file");
    }
    let module = sample().build();
    let mut program = module.clone();
    header(&mut program).e_type.set(LE, elf::ET_DYN);
    refused(&program, "not relocatable");
    let mut arm = module.clone();
    header(&mut arm).e_machine.set(LE, elf::EM_AARCH64);
    refused(&arm, "not an x86-64 ELF file");
    for (at, value) in [(4, 1), (5, 2)] {
        let mut other = module.clone();
        other[at] = value; // EI_CLASS: 32 bits; EI_DATA: big endian
        refused(&other, "not an x86-64 ELF file");
    }
}

#[test]
fn damaged_files() {
    let module = sample().build();
    let damaged = |words: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut module = module.clone();
        change(&mut module);
        let line = error(&module);
        assert!(line.starts_with("damaged or truncated: "), "{line}");
        assert!(line.contains(words), "no {words:?} in {line:?}");
    };
    damaged("ELF header", &|m| m.truncate(20));
    damaged("section headers", &|m| m.truncate(m.len() - 1));
    damaged("section headers", &|m| header(m).e_shnum.set(LE, 0));
    damaged("section headers", &|m| header(m).e_shentsize.set(LE, 63));
    damaged("section names", &|m| {
        header(m).e_shstrndx.set(LE, elf::SymbolSection(1))
    });
    damaged("section names", &|m| {
        let (_, names) = View::new(m).section(".shstrtab");
        let last = names.sh_offset.get(LE) + names.sh_size.get(LE) - 1;
        m[last as usize] = b'x';
    });
    damaged(".data", &|m| section(m, ".data").sh_size.set(LE, 1 << 40));
    damaged(".rela.text", &|m| {
        section(m, ".rela.text").sh_size.set(LE, 25)
    });
    damaged(".rela.text", &|m| {
        section(m, ".rela.text").sh_link.set(LE, 1)
    });
    damaged("no section 99", &|m| {
        section(m, ".rela.text").sh_info.set(LE, 99)
    });
    damaged(".text+0x29: .klp.sym.kvm.vm_list,0: outside", &|m| {
        section(m, ".text").sh_size.set(LE, 44)
    });
    damaged("symbol table", &|m| {
        section(m, ".symtab").sh_link.set(LE, 1)
    });
    damaged("name", &|m| {
        let other = View::new(m).section(".rela.data").1.sh_offset.get(LE);
        section(m, ".symtab").sh_offset.set(LE, other);
    });
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
    refused(&module, "sections overlap");
}

#[test]
fn symbol_tables() {
    let mut module = sample().build();
    section(&mut module, ".symtab")
        .sh_type
        .set(LE, elf::SHT_PROGBITS);
    refused(&module, "0 symbol tables");
    let mut module = sample().build();
    section(&mut module, ".strtab")
        .sh_type
        .set(LE, elf::SHT_SYMTAB);
    refused(&module, "2 symbol tables");
}

#[test]
fn malformed_names() {
    for (name, reason) in [
        (".klp.sym.kvm.vm_list", "it must be"),
        (".klp.sym.kvm-amd.svm,0", "OBJECT may have"),
        (".klp.sym.kvm.vm_list,first", "POSITION must be"),
    ] {
        let mut ko = Ko::new();
        ko.call(".text", 1, name).call(".text", 9, name);
        refused(&ko.build(), &format!("{name}: malformed name: {reason}"));
    }
}

#[test]
fn sections_that_the_loader_reads() {
    for (name, flags, advice) in [
        ("__jump_table", DATA, "static_key_enabled()"),
        (".init.text", CODE, "section that stays"),
        ("__ex_table", elf::SHF_ALLOC, "in code of this module"),
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
        let words = format!(
            ".text+0x3: {SYMBOL}: the kernel can't apply relocations of type {}",
            r_type.0
        );
        refused(&ko.build(), &words);
    }
}

#[test]
fn bytes_that_are_not_zero() {
    let mut ko = Ko::new();
    ko.section(".data", elf::SHT_PROGBITS, DATA, &[0, 0, 0, 0, 0, 0, 0, 1]);
    ko.rela(".data", 0, elf::R_X86_64_64, SYMBOL, 0);
    refused(
        &ko.build(),
        &format!(".data+0x0: {SYMBOL}: the bytes to relocate aren't zero"),
    );
}

#[test]
fn bytes_that_are_not_there() {
    let mut ko = Ko::new();
    ko.section(".data.bss", elf::SHT_NOBITS, DATA, &[0; 64]);
    ko.rela(".data.bss", 0, elf::R_X86_64_64, SYMBOL, 0);
    refused(&ko.build(), "outside of the section");
    let mut ko = Ko::new();
    ko.rela(".text", u64::MAX - 1, elf::R_X86_64_64, SYMBOL, 0);
    refused(&ko.build(), "outside of the section");
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
        refused(
            &ko.build(),
            &format!(".text+{offset:#x}: {SYMBOL}: inside an ALTERNATIVE"),
        );
    }
    let mut ko = Ko::new();
    ko.section(
        ".altinstructions",
        elf::SHT_PROGBITS,
        elf::SHF_ALLOC,
        &[0; 13],
    );
    ko.call(".text", 1, SYMBOL);
    refused(&ko.build(), ".altinstructions has entries of another size");
}

#[test]
fn symbols_that_the_module_defines() {
    let mut ko = Ko::new();
    ko.define(SYMBOL, ".text");
    refused(&ko.build(), &format!("{SYMBOL}: defined in this module"));
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
    refused(
        &module,
        &format!(".text: {SYMBOL}: a relocation without addend"),
    );
}

#[test]
fn modules_that_are_no_livepatches() {
    let mut ko = Ko::bare();
    let modinfo = b"license=GPL\0notlivepatch=Y\0";
    ko.section(".modinfo", elf::SHT_PROGBITS, elf::SHF_ALLOC, modinfo);
    ko.call(".text", 1, SYMBOL);
    refused(&ko.build(), "no livepatch= in .modinfo");
    let mut ko = Ko::bare();
    ko.call(".text", 1, SYMBOL);
    refused(&ko.build(), "no livepatch= in .modinfo");
}

#[test]
fn signed_modules() {
    let signature = b"PKCS#7\0~Module signature appended~\n";
    let module = [&sample().build(), &signature[..]].concat();
    refused(&module, "signed");
    // Signed after it was linked: that is how it should be.
    let linked = [&link(&sample().build()), &signature[..]].concat();
    assert!(klp_link::link(&linked).unwrap().is_none());
}

#[test]
fn modules_that_are_linked_in_part() {
    let mut module = link(&sample().build());
    let view = View::new(&module);
    let mut symbols = view.symbols().iter();
    let index = symbols.position(|symbol| view.symbol_name(symbol) == SYMBOL);
    let at = view.section(".symtab").1.sh_offset.get(LE) as usize + 24 * index.unwrap();
    module[at + 6..at + 8].copy_from_slice(&[0, 0]); // st_shndx = SHN_UNDEF
    refused(&module, "linked, though not all of it");
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
    refused(&module, "isn't a livepatch symbol");
}

#[test]
fn all_that_is_wrong_at_once() {
    let mut ko = Ko::bare();
    ko.zeros("__jump_table", DATA);
    ko.rela("__jump_table", 8, elf::R_X86_64_64, SYMBOL, 0)
        .rela(".text", 3, elf::R_X86_64_GOTPCREL, SYMBOL, -4)
        .call(".text", 9, ".klp.sym.kvm.vm_list");
    let errors = errors(&ko.build());
    assert_eq!(errors.len(), 4, "{errors:?}");
    for words in [
        "malformed name",
        "jump labels",
        "relocations of type",
        "livepatch=",
    ] {
        assert!(errors.iter().any(|line| line.contains(words)), "{words}");
    }
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
    refused(&module, "too many sections");
}
