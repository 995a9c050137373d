// SPDX-License-Identifier: GPL-2.0

//! Guest memory, which the guest and others may change at any time.
//!
//! There is never a reference to it. A structure that is mapped ([`Mapping`]) is reached by the
//! places declared in `abi/`, which lie inside of it by their invariants; each access is one load,
//! store or atomic operation.

use super::bitops;
use crate::{
    abi::layout::{is_within, Bits, Field, Structure, Words},
    sync::{
        barrier::smp_wmb,
        gpc::{Bytes, Gpc, Mapping, Part, Parts, Unmapped},
        Ctx, InKvmSrcu, InSection, MayTryLock,
    },
};
use core::arch::asm;
use kernel::transmute::{AsBytes, FromBytes};

impl<S: Structure> Gpc<'_, S> {
    /// Reads a field, once, if the cache is valid and nobody changes it now. Never waits; any
    /// context where a lock may be tried.
    pub(crate) fn peek<T: FromBytes + Copy, H: InKvmSrcu + MayTryLock>(
        self,
        cx: &mut Ctx<'_, H>,
        field: &Field<S, T>,
    ) -> Option<T> {
        self.try_peek(cx, |base| {
            let from = base.as_ptr().wrapping_add(field.offset()).cast::<T>();
            // SAFETY: `try_peek` looks at what is mapped, in a cache that is locked. By the invariant of
            // `Field` the field is in it, and aligned; `T` has no invalid value, whatever the guest
            // writes.
            unsafe { from.read_volatile() }
        })
    }
}

impl<S: Structure> Mapping<'_, S> {
    /// The address of what is `offset` bytes into the structure.
    fn at(&self, offset: usize) -> *mut u8 {
        self.base().as_ptr().wrapping_add(offset)
    }

    /// Reads a field, once.
    pub(crate) fn load<T: FromBytes + Copy>(&self, field: &Field<S, T>) -> T {
        let from = self.at(field.offset()).cast::<T>();
        // SAFETY: By the invariants of `Mapping` and `Field` the field is mapped and aligned; `T`
        // has no invalid value, whatever the guest writes.
        unsafe { from.read_volatile() }
    }

    /// Writes a field, once.
    pub(crate) fn store<T: AsBytes + Copy>(&self, field: &Field<S, T>, value: T) {
        let to = self.at(field.offset()).cast::<T>();
        // SAFETY: By the invariants of `Mapping` and `Field` the field is mapped and aligned. Whoever
        // reads it is the guest, or takes what is there for any bytes.
        unsafe { to.write_volatile(value) }
    }

    /// Reads double words, each once.
    pub(crate) fn load_words<const N: usize>(&self, words: &Words<S, N>) -> [u64; N] {
        core::array::from_fn(|i| {
            let value: u64;
            let from = self.at(words.offset()).cast::<u64>().wrapping_add(i);
            // SAFETY: By the invariants of `Mapping` and `Words` the bytes are mapped. The address
            // need not be aligned, which the instruction allows.
            unsafe {
                asm!("mov {value}, qword ptr [{from}]", value = out(reg) value,
                    from = in(reg) from, options(nostack, preserves_flags, readonly));
            }
            value
        })
    }

    /// Sets a bit, and returns what it was. Fully ordered.
    #[inline(always)]
    pub(crate) fn test_and_set(&self, bits: &Bits<S>, nr: u32) -> bool {
        let (array, nr) = bits.locate(nr);
        let array = self.at(array);
        if S::ALIGN % 4 == 0 {
            // SAFETY: By the invariants of `Mapping` and `Bits` the bit is mapped, in an aligned word as
            // the structure is aligned. KVM changes these bits by atomic operations alone, here and in C;
            // who else does so is the guest.
            unsafe { bitops::test_and_set_in(array.cast(), nr) }
        } else {
            let byte = array.wrapping_add((nr / 8) as usize);
            // SAFETY: As above, but for the alignment.
            unsafe { bitops::test_and_set(byte, nr % 8) }
        }
    }

    /// Reads a bit, once.
    #[inline(always)]
    pub(crate) fn test(&self, bits: &Bits<S>, nr: u32) -> bool {
        let (array, nr) = bits.locate(nr);
        let byte = self.at(array).wrapping_add((nr / 8) as usize);
        // SAFETY: By the invariants of `Mapping` and `Bits` the byte is mapped.
        let byte = unsafe { byte.read_volatile() };
        byte & (1 << (nr % 8)) != 0
    }
}

/// A structure that is mapped to be written, at any place in it.
pub(crate) trait Written {
    /// Writes a byte; one that is not in the structure is dropped.
    fn write_byte(&self, at: usize, value: u8);

    /// Writes a word at 0, and double words from `at` on. They are not in one piece where the
    /// structure is not.
    fn write<const N: usize>(&self, word: u32, at: usize, values: &[u64; N]);

    /// Notes that the pages have been written to.
    fn mark_dirty(&self);

    /// Orders what was written before ahead of what is written next, as the guest sees it.
    fn publish(&self) {
        smp_wmb();
    }
}

/// A structure in one page.
pub(crate) struct Whole<'m> {
    bytes: Mapping<'m, Bytes>,
    len: usize,
}

impl<'m> Whole<'m> {
    /// The structure mapped, if the cache is valid and nobody changes it now. Never waits; any
    /// context where a lock may be tried.
    pub(crate) fn try_read<H: InKvmSrcu + MayTryLock>(
        cx: &'m mut Ctx<'_, H>,
        (bytes, len): Part<'m>,
    ) -> Option<Self> {
        let bytes = bytes.try_read_bytes(cx, len)?;
        Some(Self { bytes, len })
    }

    /// The address of the `size` bytes at `at`, if they are in the structure.
    #[inline(always)]
    fn within(&self, at: usize, size: usize) -> Option<*mut u8> {
        let base = self.bytes.base().as_ptr();
        is_within(at, size, self.len).then(|| base.wrapping_add(at))
    }
}

impl Written for Whole<'_> {
    #[inline(always)]
    fn write_byte(&self, at: usize, value: u8) {
        if let Some(to) = self.within(at, 1) {
            // SAFETY: By `within` the byte is one of those mapped.
            unsafe { to.write_volatile(value) }
        }
    }

    fn write<const N: usize>(&self, word: u32, at: usize, values: &[u64; N]) {
        if let Some(to) = self.within(0, 4) {
            // SAFETY: By `within` the bytes are mapped. The address need not be aligned, which the
            // instruction allows.
            unsafe {
                asm!("mov dword ptr [{to}], {word:e}", to = in(reg) to, word = in(reg) word,
                    options(nostack, preserves_flags));
            }
        }
        if let Some(to) = self.within(at, 8 * N) {
            for (i, &value) in values.iter().enumerate() {
                let to = to.wrapping_add(8 * i);
                // SAFETY: As above.
                unsafe {
                    asm!("mov qword ptr [{to}], {value}", to = in(reg) to, value = in(reg) value,
                        options(nostack, preserves_flags));
                }
            }
        }
    }

    #[inline(always)]
    fn mark_dirty(&self) {
        self.bytes.mark_dirty();
    }
}

/// A structure in two pages.
pub(crate) struct Split<'m> {
    parts: Parts<'m>,
    len: usize,
    rest_len: usize,
}

impl<'m> Split<'m> {
    /// The structure mapped. Never waits; any context where a lock may be tried.
    ///
    /// # Errors
    ///
    /// The part that is not valid, or being changed just now.
    pub(crate) fn try_read(
        cx: &'m mut Ctx<'_, InSection>,
        first: Part<'m>,
        rest: Part<'m>,
    ) -> Result<Self, Unmapped> {
        let (len, rest_len) = (first.1, rest.1);
        let parts = Gpc::try_read_both(cx, first, rest)?;
        Ok(Self {
            parts,
            len,
            rest_len,
        })
    }

    /// Copies bytes to the start of a page's part of the structure, as many as it has at most.
    #[inline(always)]
    fn copy(to: &Mapping<'m, Bytes>, len: usize, from: &[u8]) {
        let len = len.min(from.len());
        // SAFETY: The bytes are mapped, and no more than there are: double words, then the rest.
        unsafe {
            asm!("rep movsq", "mov ecx, {rest:e}", "rep movsb", rest = in(reg) len % 8,
                inout("rcx") len / 8 => _, inout("rdi") to.base().as_ptr() => _,
                inout("rsi") from.as_ptr() => _, options(nostack, preserves_flags));
        }
    }
}

/// The largest structure that may be in two pages.
const MOST: usize = 48;

impl Written for Split<'_> {
    fn write_byte(&self, at: usize, value: u8) {
        let to = match at.checked_sub(self.len) {
            None => self.parts.first().base().as_ptr().wrapping_add(at),
            Some(at) if at < self.rest_len => self.parts.second().base().as_ptr().wrapping_add(at),
            Some(_) => return,
        };
        // SAFETY: The byte is one of those mapped.
        unsafe { to.write_volatile(value) }
    }

    /// With zeros between the word and the double words, as KVM does.
    #[inline(always)]
    fn write<const N: usize>(&self, word: u32, at: usize, values: &[u64; N]) {
        let mut bytes = [0; MOST];
        let mut put = |at: usize, from: &[u8]| {
            if let Some(to) = bytes.get_mut(at..at.wrapping_add(from.len())) {
                to.copy_from_slice(from);
            }
        };
        put(0, &word.to_le_bytes());
        put(at, values.map(u64::to_le_bytes).as_flattened());
        Self::copy(self.parts.first(), self.len, &bytes);
        if let Some(rest) = bytes.get(self.len..) {
            Self::copy(self.parts.second(), self.rest_len, rest);
        }
    }

    fn mark_dirty(&self) {
        self.parts.first().mark_dirty();
        self.parts.second().mark_dirty();
    }
}
