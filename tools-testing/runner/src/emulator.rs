// SPDX-License-Identifier: GPL-2.0
//! QEMU's emulation of nested virtualization has a fault that ends Xen guests; a copy of QEMU
//! without it.
//!
//! When VMRUN injects an external interrupt, `helper_vmrun()` writes its vector to
//! `cs->exception_index`, delivers it itself, and leaves the field so. If another thread then asks
//! the virtual CPU to leave its loop (another CPU's interrupt does) between the loop's look at
//! `interrupt_request` and its look at `exit_request`, the loop takes the field for an exception
//! that is yet to be delivered, and delivers the vector once more, with interrupts disabled. A
//! guest that gets its upcall twice on the way in from user mode crashes, as `swapgs` has not run;
//! one that gets it while it holds a lock spins for ever. In a guest that is busy with
//! inter-processor interrupts this happens every ten thousand interrupts or so. Seen in QEMU
//! 10.0; the code is the same in 11.1.
//!
//! Building QEMU takes longer than all of our tests, so the one store is taken out of a copy of
//! the program. Where it isn't found, because this QEMU was compiled otherwise, the program runs as
//! it is, and that is told.

use crate::scratch;
use anyhow::{Context, Result};
use iced_x86::{Code, Decoder, DecoderOptions, Instruction, OpKind, Register};
use object::{Object, ObjectSection, ObjectSymbol};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The function with the fault.
const VMRUN: &str = "helper_vmrun";

/// What it calls after the store.
const DELIVER: &str = "do_interrupt_x86_hardirq";

/// How far before the call the store is looked for.
const REACH: u64 = 80;

/// The furthest that a field of CPUState lies before the CPU's own state, where its pointer is.
const CPU_STATE: i64 = 0x10000;

/// Makes the copy; `None` where this QEMU does not have the code that is looked for.
pub fn without_fault(qemu: &Path) -> Result<Option<PathBuf>> {
    let mut program = fs::read(qemu).with_context(|| qemu.display().to_string())?;
    let Some(store) = find_store(&program) else {
        return Ok(None);
    };
    program[store.start..store.end].fill(0x90); // nop
    let copy = scratch::directory()?.join("qemu");
    fs::write(&copy, &program).context("copying QEMU")?;
    fs::set_permissions(&copy, Permissions::from_mode(0o755))?;
    Ok(Some(copy))
}

/// The place of the store in the file.
fn find_store(program: &[u8]) -> Option<std::ops::Range<usize>> {
    let file = object::File::parse(program).ok()?;
    let symbol = |name| {
        file.dynamic_symbols()
            .find(|symbol| symbol.name() == Ok(name))
    };
    let vmrun = symbol(VMRUN)?;
    let deliver = symbol(DELIVER)?.address();
    let text = file.section_by_index(vmrun.section_index()?).ok()?;
    let (text_offset, _) = text.file_range()?;
    let offset = usize::try_from(text_offset + (vmrun.address() - text.address())).ok()?;
    let code = program.get(offset..offset.checked_add(usize::try_from(vmrun.size()).ok()?)?)?;
    let store = store_before_call(code, vmrun.address(), deliver)?;
    Some(offset + store.start..offset + store.end)
}

/// In the function's code: the one store to a field of CPUState shortly before the one call.
fn store_before_call(code: &[u8], address: u64, target: u64) -> Option<std::ops::Range<usize>> {
    let instructions: Vec<_> = Decoder::with_ip(64, code, address, DecoderOptions::NONE)
        .iter()
        .collect();
    let is_call = |one: &&Instruction| {
        one.code() == Code::Call_rel32_64 && one.near_branch_target() == target
    };
    let call = only(instructions.iter().filter(is_call))?.ip();
    let near = call.saturating_sub(REACH)..call;
    let is_near = |one: &&Instruction| near.contains(&one.ip()) && stores_to_cpu_state(one);
    let store = only(instructions.iter().filter(is_near))?;
    let offset = |ip: u64| usize::try_from(ip - address).ok();
    Some(offset(store.ip())?..offset(store.next_ip())?)
}

/// Whether it is a 32-bit store of a register to a small negative offset from another, as
/// "mov %esi,-0x28f0(%rbx)" is.
fn stores_to_cpu_state(one: &Instruction) -> bool {
    one.code() == Code::Mov_rm32_r32
        && one.op0_kind() == OpKind::Memory
        && one.memory_index() == Register::None
        && (-CPU_STATE..0).contains(&(one.memory_displacement64() as i64))
}

/// What there is just one of.
pub fn only<T>(mut found: impl Iterator<Item = T>) -> Option<T> {
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Debian's compiler has it: the stores of error_code and exception_index, and the call.
    const CODE: [u8; 24] = [
        0x44, 0x89, 0xab, 0xe0, 0x33, 0x00, 0x00, // mov %r13d,0x33e0(%rbx)
        0x89, 0xb3, 0x10, 0xd7, 0xff, 0xff, // mov %esi,-0x28f0(%rbx)
        0xba, 0x01, 0x00, 0x00, 0x00, // mov $1,%edx
        0xe8, 0x10, 0x00, 0x00, 0x00, // call .+0x15
        0xc3,
    ];

    #[test]
    fn the_store_is_found() {
        let target = 0x1000 + 23 + 0x10;
        assert_eq!(store_before_call(&CODE, 0x1000, target), Some(7..13));
        assert_eq!(store_before_call(&CODE, 0x1000, target + 1), None);
    }

    #[test]
    fn two_such_stores_are_too_many() {
        let mut code = CODE[7..13].to_vec();
        code.extend(CODE);
        assert_eq!(store_before_call(&code, 0, 29 + 0x10), None);
    }

    #[test]
    fn a_store_with_a_prefix() {
        let mut code = CODE.to_vec();
        // mov %r12d,-0x28f0(%rbx), instead of the one without.
        code.splice(7..13, [0x44, 0x89, 0xa3, 0x10, 0xd7, 0xff, 0xff]);
        assert_eq!(store_before_call(&code, 0, 24 + 0x10), Some(7..14));
    }

    #[test]
    fn this_qemu_has_one_store() {
        let program = fs::read(crate::qemu::QEMU).unwrap();
        let store = find_store(&program).unwrap();
        assert_eq!(program[store].len(), 6);
    }

    #[test]
    fn another_program_has_none() {
        assert_eq!(find_store(b"#!/bin/sh\n"), None);
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(find_store(&own), None);
    }
}
