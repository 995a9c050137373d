// SPDX-License-Identifier: GPL-2.0

//! Atomic bit operations on memory that others change too: C, other CPUs, the guest.
//!
//! The access is always to an aligned 32-bit word: it stays in the page, and does not split a lock
//! over two cache lines, which a CPU may be told to take for a fatal error. A bit of the kernel's
//! is named by its number in an array of words; one of the guest's by the address of its byte,
//! whose word is sought, however a VMM has placed the structure.
//!
//! Fully ordered, as `test_and_set_bit()` and `test_and_clear_bit()` are. Source:
//! Documentation/atomic_bitops.txt.

use core::arch::asm;

/// The aligned word around a byte, and the number of the byte's bit `nr` in it.
fn word_around(byte: *mut u8, nr: u32) -> (*mut u32, u32) {
    let in_word = byte.addr() % size_of::<u32>();
    (
        byte.wrapping_sub(in_word).cast(),
        (in_word as u32) * 8 + nr % 8,
    )
}

/// Sets bit `nr` (0 to 7) of a byte, and returns what it was.
///
/// # Safety
///
/// The byte is in a page that is mapped for writing, and everybody else who writes to it at the
/// same time does so by an atomic operation, or is the guest.
#[inline(always)]
pub(crate) unsafe fn test_and_set(byte: *mut u8, nr: u32) -> bool {
    let (word, nr) = word_around(byte, nr);
    // SAFETY: An aligned word lies in the page of each of its bytes, which is mapped by the
    // contract; all its other bits are written back as they were, in one atomic operation.
    unsafe { test_and_set_in(word, nr) }
}

/// Sets bit `nr` of an array of words, and returns what it was.
///
/// # Safety
///
/// The array has more than `nr` bits, below 2^31, and everybody else who writes to it at the same
/// time does so by an atomic operation.
pub(crate) unsafe fn test_and_set_in(words: *mut u32, nr: u32) -> bool {
    let was: u8;
    // SAFETY: The instruction goes to the aligned word that the bit is in, by the contract.
    unsafe {
        asm!(
            "lock bts dword ptr [{words}], {nr:e}",
            "setc {was}",
            words = in(reg) words,
            nr = in(reg) nr,
            was = lateout(reg_byte) was,
            options(nostack),
        );
    }
    was != 0
}

/// Clears bit `nr` of an array of words, and returns what it was.
///
/// # Safety
///
/// As for [`test_and_set_in`].
pub(crate) unsafe fn test_and_clear_in(words: *mut u32, nr: u32) -> bool {
    let was: u8;
    // SAFETY: As in `test_and_set_in`.
    unsafe {
        asm!(
            "lock btr dword ptr [{words}], {nr:e}",
            "setc {was}",
            words = in(reg) words,
            nr = in(reg) nr,
            was = lateout(reg_byte) was,
            options(nostack),
        );
    }
    was != 0
}

/// Clears the bits of a double word that are set in `mask`.
///
/// # Safety
///
/// The double word is there, and everybody else who writes to it at the same time does so by an
/// atomic operation.
pub(crate) unsafe fn clear_mask(word: *mut u64, mask: u64) {
    // SAFETY: By the contract.
    unsafe {
        asm!("lock and qword ptr [{word}], {mask}", word = in(reg) word, mask = in(reg) !mask,
            options(nostack));
    }
}

/// Writes `new` to a word if that is `old`. Fully ordered.
///
/// # Safety
///
/// The word is there, aligned, and everybody else reads and writes it in one piece.
pub(crate) unsafe fn compare_and_set(word: *mut u32, old: u32, new: u32) {
    // SAFETY: By the contract.
    unsafe {
        asm!("lock cmpxchg dword ptr [{word}], {new:e}", word = in(reg) word, new = in(reg) new,
            inout("eax") old => _, options(nostack));
    }
}
