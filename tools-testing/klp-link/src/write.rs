// SPDX-License-Identifier: GPL-2.0
//! Writing a linked module.
//!
//! Only what has to change does. Every section keeps its index and its place in the file, so that
//! symbols, groups, BTF, versions and whatever refers to them by number or offset stay right. A
//! split relocation section keeps its bytes too, in another order: what stays comes first, then
//! what moves, one object after the other, and the new section headers point into the same bytes.
//! New are the section names and the section header table, at the end of the file.

use anyhow::{bail, Error, Result};
use object::elf;
use object::pod::{self, Pod};
use object::{LittleEndian as LE, U16, U32, U64};

use crate::elf::{damaged, Module, Rela, Section, Symbol, SHF_RELA_LIVEPATCH, SHN_LIVEPATCH};
use crate::plan::Plan;

/// `Elf64_Rela` and `Elf64_Shdr` have 64-bit fields.
const ALIGN: usize = 8;

/// Makes a linked module of a module and the plan for it.
pub fn apply(module: &Module<'_>, plan: &Plan) -> Result<Vec<u8>> {
    let header = module.header();
    let mut headers = module.headers().to_vec();
    let strings = usize::from(header.e_shstrndx.get(LE).0);
    let mut names = module.contents(&headers[strings]).to_vec();
    let mut out = module.data()[..end_of_kept(module, strings)].to_vec();

    let (symtab, _) = module.section(module.symbol_section())?;
    for &index in &plan.marks {
        let at = offset(symtab) + index * size_of::<Symbol>();
        let symbol: &mut Symbol = at_mut(&mut out, at)?;
        symbol.st_shndx.set(LE, SHN_LIVEPATCH);
    }

    for split in &plan.splits {
        let mut at = offset(&headers[split.section]);
        at = put(&mut out, at, &split.keep)?;
        let kept = size_of_val(&split.keep[..]) as u64;
        headers[split.section].sh_size.set(LE, kept);
        for (object, relas) in &split.moved {
            let name = add_name(&mut names, object, &split.target_name);
            headers.push(klp_section(module, split.target, name, at, relas));
            at = put(&mut out, at, relas)?;
        }
    }

    headers[strings].sh_offset.set(LE, out.len() as u64);
    headers[strings].sh_size.set(LE, names.len() as u64);
    out.extend_from_slice(&names);
    out.resize(out.len().next_multiple_of(ALIGN), 0);

    if headers.len() >= usize::from(elf::SHN_LORESERVE) {
        bail!("too many sections; merge .text.* and .data.* in the linker script");
    }
    let count = headers.len() as u16;
    let table = out.len() as u64;
    let header: &mut elf::FileHeader64<LE> = at_mut(&mut out, 0)?;
    header.e_shoff = U64::new(LE, table);
    header.e_shnum = U16::new(LE, count);
    out.extend_from_slice(pod::bytes_of_slice(&headers));
    Ok(out)
}

/// How much of the file to keep: up to the section names and headers, which are made anew, if
/// these are the last things in it as linkers have it; else all.
fn end_of_kept(module: &Module<'_>, strings: usize) -> usize {
    let header = module.header();
    let end = |section: &Section| offset(section) + section.sh_size.get(LE) as usize;
    let mut kept = size_of_val(header);
    let mut made_anew = header.e_shoff.get(LE) as usize
        + usize::from(header.e_shnum.get(LE)) * size_of::<Section>();
    for (index, section, _) in module.sections() {
        let which = match section.sh_type.get(LE) {
            elf::SHT_NULL | elf::SHT_NOBITS => continue,
            _ if index == strings => &mut made_anew,
            _ => &mut kept,
        };
        *which = end(section).max(*which);
    }
    let whole = module.data().len();
    if kept.max(made_anew) == whole {
        kept
    } else {
        whole
    }
}

/// The header of a section of relocations, which are at a place in the file already.
fn klp_section(
    module: &Module<'_>,
    target: usize,
    name: u32,
    at: usize,
    relas: &[Rela],
) -> Section {
    let flags = elf::SHF_ALLOC | elf::SHF_INFO_LINK | SHF_RELA_LIVEPATCH;
    Section {
        sh_name: U32::new(LE, name),
        sh_type: U32::new(LE, elf::SHT_RELA),
        sh_flags: U64::new(LE, flags),
        sh_addr: U64::new(LE, 0),
        sh_offset: U64::new(LE, at as u64),
        sh_size: U64::new(LE, size_of_val(relas) as u64),
        sh_link: U32::new(LE, module.symbol_section() as u32),
        sh_info: U32::new(LE, target as u32),
        sh_addralign: U64::new(LE, ALIGN as u64),
        sh_entsize: U64::new(LE, size_of::<Rela>() as u64),
    }
}

/// Appends `.klp.rela.OBJECT.SECTION` to the section names; the answer is where.
fn add_name(names: &mut Vec<u8>, object: &str, section: &[u8]) -> u32 {
    let at = names.len() as u32;
    names.extend_from_slice(format!(".klp.rela.{object}.").as_bytes());
    names.extend_from_slice(section);
    names.push(0);
    at
}

fn offset(section: &Section) -> usize {
    section.sh_offset.get(LE) as usize
}

fn overlap() -> Error {
    damaged("sections overlap")
}

fn at_mut<T: Pod>(out: &mut [u8], at: usize) -> Result<&mut T> {
    let bytes = out.get_mut(at..).ok_or_else(overlap)?;
    pod::from_bytes_mut(bytes)
        .map(|(value, _)| value)
        .map_err(|()| overlap())
}

/// Puts relocations at a place in the file; the answer is the place after them.
fn put(out: &mut [u8], at: usize, relas: &[Rela]) -> Result<usize> {
    let bytes = pod::bytes_of_slice(relas);
    let end = at + bytes.len();
    out.get_mut(at..end)
        .ok_or_else(overlap)?
        .copy_from_slice(bytes);
    Ok(end)
}
