// SPDX-License-Identifier: GPL-2.0
//! What must not change: everything else in the file.

use object::elf::{self, FileHeader64, SectionHeader64};
use object::write::{Comdat, ComdatKind};
use object::{pod, LittleEndian as LE, U64};

use crate::ko::{link, sample, View, CODE};

/// Headers as bytes, for comparison.
fn bytes(header: &SectionHeader64<LE>) -> &[u8] {
    pod::bytes_of(header)
}

/// Every section that was there has its index, place and contents, but for the relocations that
/// moved, the marks, and the table of section names.
fn assert_preserved(module: &[u8], out: &[u8]) {
    let (before, after) = (View::new(module), View::new(out));
    let strings = usize::from(before.header.e_shstrndx.get(LE).0);
    for (index, old) in before.headers().iter().enumerate() {
        let new = &after.headers()[index];
        let name = before.name(old);
        assert_eq!(after.name(new), name);
        match (name.as_str(), old.sh_type.get(LE)) {
            _ if index == strings => {
                let names = after.contents(new);
                assert!(names.starts_with(before.contents(old)));
            }
            (_, elf::SHT_RELA) => {
                assert_eq!(old.sh_offset.get(LE), new.sh_offset.get(LE), "{name}");
                assert_eq!(old.sh_link.get(LE), new.sh_link.get(LE), "{name}");
                assert_eq!(old.sh_info.get(LE), new.sh_info.get(LE), "{name}");
            }
            (".symtab", _) => assert_eq!(bytes(old), bytes(new)),
            _ => {
                assert_eq!(bytes(old), bytes(new), "{name}");
                assert_eq!(before.contents(old), after.contents(new), "{name}");
            }
        }
    }
}

#[test]
fn sections_of_all_kinds() {
    let mut ko = sample();
    let group = ko.zeros(".text.grouped", CODE);
    let symbol = ko.define("grouped", ".text.grouped");
    ko.object.add_comdat(Comdat {
        kind: ComdatKind::Any,
        symbol,
        sections: vec![group],
    });
    let none = elf::SectionFlags(0);
    ko.section(".BTF", elf::SHT_PROGBITS, none, b"\x9f\xeb\x01 not really");
    ko.section("__versions", elf::SHT_PROGBITS, elf::SHF_ALLOC, &[7; 128]);
    ko.section(".note.Linux", elf::SHT_NOTE, elf::SHF_ALLOC, &[1; 20]);
    ko.section(
        ".bss",
        elf::SHT_NOBITS,
        elf::SHF_ALLOC | elf::SHF_WRITE,
        &[0; 4096],
    );
    // A type that nobody here knows of (it is LLVM's list of address-significant symbols).
    let addrsig = elf::SectionType(0x6fff_4c03);
    ko.section(".llvm_addrsig", addrsig, elf::SHF_EXCLUDE, &[1, 2, 3]);
    let module = ko.build();
    let kinds = View::new(&module);
    let is_group = |header: &SectionHeader64<LE>| header.sh_type.get(LE) == elf::SHT_GROUP;
    assert!(kinds.headers().iter().any(is_group));
    assert_preserved(&module, &link(&module));
}

#[test]
fn bytes_that_belong_to_no_section() {
    let mut module = sample().build();
    module.extend_from_slice(b"and something after all");
    let out = link(&module);
    assert_preserved(&module, &out);
    // Kept where they were, but for the header, the symbols and the relocations.
    assert_eq!(
        out[module.len() - 23..module.len()],
        *b"and something after all"
    );
}

#[test]
fn nothing_of_the_old_names_and_headers_is_left() {
    let module = sample().build();
    let out = link(&module);
    // 6 headers more, and their names: no second copy of either table.
    let grown = out.len() - module.len();
    assert!(grown < 6 * (64 + 32), "{grown} bytes more");
}

#[test]
fn section_headers_in_the_middle() {
    let mut module = sample().build();
    let view = View::new(&module);
    let mut headers = view.headers().to_vec();
    // Move the table of names, which the headers follow, behind them.
    let strings = usize::from(view.header.e_shstrndx.get(LE).0);
    let names = view.contents(&headers[strings]).to_vec();
    headers[strings].sh_offset = U64::new(LE, module.len() as u64);
    let table = view.header.e_shoff.get(LE) as usize;
    let headers = pod::bytes_of_slice(&headers);
    module[table..table + headers.len()].copy_from_slice(headers);
    module.extend_from_slice(&names);
    assert_preserved(&module, &link(&module));
}

#[test]
fn names_of_sections_and_symbols_in_one_table() {
    // As LLVM writes object files.
    let mut module = sample().build();
    let view = View::new(&module);
    let mut headers = view.headers().to_vec();
    let old = usize::from(view.header.e_shstrndx.get(LE).0);
    let (new, symbols) = view.section(".strtab");
    let mut both = view.contents(symbols).to_vec();
    let base = both.len() as u32;
    both.extend_from_slice(view.contents(&headers[old]));
    for header in &mut headers[1..] {
        let name = header.sh_name.get(LE);
        header.sh_name.set(LE, base + name);
    }
    headers[new].sh_offset.set(LE, module.len() as u64);
    headers[new].sh_size.set(LE, both.len() as u64);
    module.extend_from_slice(&both);
    module.resize(module.len().next_multiple_of(8), 0);
    let table = module.len() as u64;
    module.extend_from_slice(pod::bytes_of_slice(&headers));
    let (header, _) = pod::from_bytes_mut::<FileHeader64<LE>>(&mut module).unwrap();
    header.e_shoff.set(LE, table);
    header.e_shstrndx.set(LE, elf::SymbolSection(new as u16));

    let out = link(&module);
    assert_preserved(&module, &out);
    let view = View::new(&out);
    assert_eq!(view.relas(".klp.rela.kvm..text").len(), 2);
    assert_eq!(
        view.shndx("init_module"),
        view.section(".init.text").0 as u16
    );
}
