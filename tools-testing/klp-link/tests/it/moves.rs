// SPDX-License-Identifier: GPL-2.0
//! Which relocations move, to where, and what the kernel needs to find there.

use object::elf;
use object::LittleEndian as LE;

use crate::ko::{link, sample, Ko, RelaRow, View, CODE, DATA, SHF_RELA_LIVEPATCH, SHN_LIVEPATCH};

const PLT32: u32 = elf::R_X86_64_PLT32.0;

fn row(offset: u64, r_type: u32, symbol: &str, addend: i64) -> RelaRow {
    (offset, r_type, symbol.into(), addend)
}

#[test]
fn relocations_move_by_object_and_section() {
    let out = link(&sample().build());
    let view = View::new(&out);
    assert_eq!(
        view.relas(".rela.text"),
        [
            row(1, PLT32, "printk", -4),
            row(17, PLT32, "__fentry__", -4)
        ]
    );
    assert_eq!(
        view.relas(".klp.rela.kvm..text"),
        [
            row(9, PLT32, ".klp.sym.kvm.kvm_gpc_refresh,0", -4),
            row(41, elf::R_X86_64_PC32.0, ".klp.sym.kvm.vm_list,0", -12),
        ]
    );
    assert_eq!(
        view.relas(".klp.rela.kvm_amd..text"),
        [row(
            33,
            elf::R_X86_64_32S.0,
            ".klp.sym.kvm_amd.svm_ops,0",
            8
        )]
    );
    assert_eq!(
        view.relas(".klp.rela.vmlinux..text"),
        [row(25, PLT32, ".klp.sym.vmlinux.lookup,3", -4)]
    );
    let pointer = elf::R_X86_64_64.0;
    assert_eq!(view.relas(".rela.data"), [row(8, pointer, "printk", 0)]);
    assert_eq!(
        view.relas(".klp.rela.kvm..data"),
        [row(0, pointer, ".klp.sym.kvm.vm_list,0", 16)]
    );
    assert_eq!(view.relas(".rela.rodata"), []);
    assert_eq!(
        view.relas(".klp.rela.kvm..rodata"),
        [row(8, elf::R_X86_64_PC64.0, ".klp.sym.kvm.kvm_lock,0", 0)]
    );
    assert_eq!(view.relas(".rela.init.text"), []);
    assert_eq!(
        view.relas(".klp.rela.vmlinux..init.text"),
        [row(3, PLT32, ".klp.sym.vmlinux.lookup,3", -4)]
    );
    let klp = view
        .names()
        .into_iter()
        .filter(|name| name.starts_with(".klp."));
    assert_eq!(klp.count(), 6);
}

#[test]
fn new_sections_are_as_the_kernel_wants_them() {
    let out = link(&sample().build());
    let view = View::new(&out);
    let (symtab, _) = view.section(".symtab");
    for (name, target) in [
        (".klp.rela.kvm..text", ".text"),
        (".klp.rela.kvm_amd..text", ".text"),
        (".klp.rela.vmlinux..text", ".text"),
        (".klp.rela.kvm..data", ".data"),
        (".klp.rela.kvm..rodata", ".rodata"),
        (".klp.rela.vmlinux..init.text", ".init.text"),
    ] {
        let (_, section) = view.section(name);
        let (target, _) = view.section(target);
        let flags = elf::SHF_ALLOC.0 | elf::SHF_INFO_LINK.0 | SHF_RELA_LIVEPATCH;
        assert_eq!(section.sh_type.get(LE), elf::SHT_RELA, "{name}");
        assert_eq!(section.sh_flags.get(LE).0, flags, "{name}");
        assert_eq!(section.sh_addr.get(LE), 0, "{name}");
        assert_eq!(section.sh_link.get(LE) as usize, symtab, "{name}");
        assert_eq!(section.sh_info.get(LE) as usize, target, "{name}");
        assert_eq!(section.sh_addralign.get(LE), 8, "{name}");
        assert_eq!(section.sh_entsize.get(LE), 24, "{name}");
        assert_eq!(section.sh_offset.get(LE) % 8, 0, "{name}");
    }
}

#[test]
fn symbols_are_marked_in_place() {
    let module = sample().build();
    let out = link(&module);
    let (before, after) = (View::new(&module), View::new(&out));
    assert_eq!(before.symbols().len(), after.symbols().len());
    let mut marked = 0;
    for (old, new) in before.symbols().iter().zip(after.symbols()) {
        let name = before.symbol_name(old);
        assert_eq!(after.symbol_name(new), name);
        assert_eq!(new.st_info, old.st_info, "{name}");
        assert_eq!(new.st_other, old.st_other, "{name}");
        assert_eq!(new.st_value.get(LE), old.st_value.get(LE), "{name}");
        assert_eq!(new.st_size.get(LE), old.st_size.get(LE), "{name}");
        if name.starts_with(".klp.sym.") {
            assert_eq!(new.st_shndx.get(LE).0, SHN_LIVEPATCH, "{name}");
            marked += 1;
        } else {
            assert_eq!(new.st_shndx.get(LE), old.st_shndx.get(LE), "{name}");
        }
    }
    assert_eq!(marked, 5);
    let locals = |view: &View<'_>| view.section(".symtab").1.sh_info.get(LE);
    assert_eq!(locals(&before), locals(&after));
}

#[test]
fn a_symbol_that_nothing_refers_to_is_marked() {
    let mut ko = Ko::new();
    ko.undefined(".klp.sym.kvm.unused,0");
    let out = link(&ko.build());
    let view = View::new(&out);
    assert_eq!(view.shndx(".klp.sym.kvm.unused,0"), SHN_LIVEPATCH);
    assert!(!view.names().iter().any(|name| name.starts_with(".klp.")));
}

#[test]
fn what_the_loader_ignores_stays() {
    let mut ko = Ko::new();
    let symbol = ".klp.sym.kvm.vm_list,0";
    ko.zeros(".debug_info", elf::SectionFlags(0));
    ko.rela(".debug_info", 0, elf::R_X86_64_64, symbol, 0)
        .rela(".text", 1, elf::R_X86_64_NONE, symbol, 0)
        .rela(".text", 8, elf::R_X86_64_PC32, symbol, -4);
    let out = link(&ko.build());
    let view = View::new(&out);
    let pointer = elf::R_X86_64_64.0;
    assert_eq!(view.relas(".rela.debug_info"), [row(0, pointer, symbol, 0)]);
    assert_eq!(view.relas(".rela.text"), [row(1, 0, symbol, 0)]);
    assert_eq!(view.relas(".klp.rela.kvm..text").len(), 1);
}

#[test]
fn vmlinux_symbols_may_be_anywhere() {
    // They are resolved before the loader looks at any of these.
    for name in [
        "__jump_table",
        ".init.text",
        ".data..percpu",
        "__ex_table",
        "odd",
    ] {
        let mut ko = Ko::new();
        ko.zeros(name, DATA);
        ko.rela(name, 0, elf::R_X86_64_PC64, ".klp.sym.vmlinux.key,0", 0);
        let out = link(&ko.build());
        let moved = format!(".klp.rela.vmlinux.{name}");
        assert_eq!(View::new(&out).relas(&moved).len(), 1, "{name}");
    }
}

#[test]
fn references_beside_an_alternative_move() {
    let mut ko = Ko::new();
    ko.zeros(".altinstr_replacement", CODE);
    // One site: .text+16, 8 bytes.
    let mut entry = [0; 14];
    entry[12] = 8;
    ko.section(
        ".altinstructions",
        elf::SHT_PROGBITS,
        elf::SHF_ALLOC,
        &entry,
    );
    let text = ko.define("text", ".text");
    let symbol = ".klp.sym.kvm.vm_list,0";
    ko.rela_to(".altinstructions", 0, elf::R_X86_64_PC32, text, 16)
        .rela(".text", 12, elf::R_X86_64_PC32, symbol, -4)
        .rela(".text", 24, elf::R_X86_64_PC32, symbol, -4);
    // And one in it, which is resolved before the alternative is patched.
    let early = ".klp.sym.vmlinux.lookup,0";
    ko.rela(".text", 17, elf::R_X86_64_PC32, early, -4);
    let out = link(&ko.build());
    let view = View::new(&out);
    assert_eq!(view.relas(".klp.rela.kvm..text").len(), 2);
    assert_eq!(view.relas(".klp.rela.vmlinux..text").len(), 1);
}

#[test]
fn linking_twice_is_linking_once() {
    let out = link(&sample().build());
    assert!(klp_link::link(&out).unwrap().is_none());
}

#[test]
fn a_module_without_livepatch_symbols_is_left_alone() {
    // Not even a livepatch module.
    let mut ko = Ko::bare();
    ko.call(".text", 1, "printk")
        .call(".text", 9, ".klp.symbol");
    assert!(klp_link::link(&ko.build()).unwrap().is_none());
}

#[test]
fn what_was_done_is_counted() {
    let mut ko = sample();
    ko.call(".text", 57, ".klp.sym.kvm.kvm_gpc_refresh,0");
    ko.undefined(".klp.sym.kvm.unused,0");
    let linked = klp_link::link(&ko.build()).unwrap().unwrap();
    assert_eq!((linked.relocations, linked.symbols), (8, 6));
}
