// SPDX-License-Identifier: GPL-2.0
//! QEMU declines to migrate a Xen guest; a copy of QEMU that migrates one.
//!
//! QEMU knows how to save and load all that it keeps for a Xen guest: event channels, grant tables,
//! the guest's XenStore. Back ends of paravirtual devices are what it can't move yet, so the state of
//! XenStore is marked as unmigratable, and with it every Xen guest, "even if they're only using fully
//! emulated devices" (as the change that did so says). Our guest has a virtio disk, and nothing that
//! is marked needlessly keeps it. (With a paravirtual disk and without the mark, a guest on C goes on
//! until its next request, which is never answered.)
//!
//! Building QEMU takes longer than all of our tests, so the mark is taken out of a copy of the
//! program: one byte of data. Where it isn't found, QEMU is taken as it is; what it says of a
//! migration is then told.

use crate::emulator::only;
use anyhow::{Context, Result};
use object::{Object, ObjectSection, RelocationTarget};
use std::fs;
use std::path::Path;

/// The name in the description of the state (`VMStateDescription`).
const NAME: &[u8] = b"\0xen_xenstore\0";

/// Where that description has its mark: after the pointer to the name.
const MARK: u64 = 8;

/// The program without the mark, where it has one.
pub fn copy(qemu: &Path) -> Result<Vec<u8>> {
    let mut program = fs::read(qemu).with_context(|| qemu.display().to_string())?;
    if let Some(mark) = find_mark(&program) {
        program[mark] = 0;
    }
    Ok(program)
}

/// The place of the mark in the file, if there is one.
fn find_mark(program: &[u8]) -> Option<usize> {
    let file = object::File::parse(program).ok()?;
    let name = address(&file, NAME)? + 1;
    // The program may be loaded anywhere, so each pointer in it is a relocation.
    let pointers = file.dynamic_relocations()?.filter(|(_, relocation)| {
        relocation.target() == RelocationTarget::Absolute && relocation.addend() == name as i64
    });
    let marks = pointers.filter_map(|(at, _)| {
        let mark = offset(&file, at + MARK)?;
        (program.get(mark) == Some(&1)).then_some(mark)
    });
    only(marks)
}

/// Where the program has these bytes, once, when it is loaded.
fn address(file: &object::File, bytes: &[u8]) -> Option<u64> {
    let found = file.sections().flat_map(|section| {
        let data = section.data().unwrap_or_default();
        let places = data.windows(bytes.len()).enumerate();
        let places = places.filter(|(_, window)| *window == bytes);
        places
            .map(|(place, _)| section.address() + place as u64)
            .filter(|_| section.address() != 0)
            .collect::<Vec<_>>()
    });
    only(found)
}

/// Where in the file that address is.
fn offset(file: &object::File, address: u64) -> Option<usize> {
    let found = file.sections().find_map(|section| {
        let (start, size) = section.file_range()?;
        let within = address.checked_sub(section.address())?;
        (section.address() != 0 && within < size).then_some(start + within)
    });
    found?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qemu::QEMU;

    #[test]
    fn this_qemu_has_one_mark() {
        let program = fs::read(QEMU).unwrap();
        let mark = find_mark(&program).unwrap();
        let copy = copy(Path::new(QEMU)).unwrap();
        assert_eq!((program[mark], copy[mark]), (1, 0));
        assert_eq!(find_mark(&copy), None);
    }

    #[test]
    fn another_program_has_none() {
        assert_eq!(find_mark(b"#!/bin/sh\n"), None);
        assert_eq!(only([1, 2].into_iter()), None);
    }
}
