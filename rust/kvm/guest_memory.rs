// SPDX-License-Identifier: GPL-2.0

//! Guest memory, which changes under us.
//!
//! There is never a reference to it. A structure that is mapped ([`Mapping`]) is reached by the
//! places declared in `abi/`, which lie inside of it by their invariants; each access is one load,
//! store or atomic operation.

use super::bitops;
use crate::{
    abi::layout::{Bits, Field, Structure, Words},
    kernels::smp_wmb,
    sync::{
        gpc::{Bytes, Mapping, Part, Unmapped},
        Ctx, InKvmSrcu, MayTryLock,
    },
};
use core::arch::asm;

/// Integers, of which any bytes that the guest may write are a value.
pub(crate) trait Plain: Copy {}
impl Plain for u8 {}
impl Plain for u32 {}
impl Plain for u64 {}

impl<S: Structure> Mapping<'_, S> {
    /// Reads a field, once.
    #[inline(always)]
    pub(crate) fn load<T: Plain>(&self, field: &Field<S, T>) -> T {
        // SAFETY: By the invariants of `Mapping` and `Field` the field is mapped and aligned; `T`
        // has no invalid value.
        unsafe {
            self.base()
                .as_ptr()
                .add(field.offset())
                .cast::<T>()
                .read_volatile()
        }
    }

    /// Writes a field, once.
    #[inline(always)]
    pub(crate) fn store<T: Plain>(&self, field: &Field<S, T>, value: T) {
        // SAFETY: By the invariants of `Mapping` and `Field` the field is mapped and aligned.
        unsafe {
            self.base()
                .as_ptr()
                .add(field.offset())
                .cast::<T>()
                .write_volatile(value)
        }
    }

    /// Reads double words, each once.
    pub(crate) fn load_words<const N: usize>(&self, words: &Words<S, N>) -> [u64; N] {
        core::array::from_fn(|i| {
            let value: u64;
            // SAFETY: By the invariants of `Mapping` and `Words` the bytes are mapped. The address
            // need not be aligned, which the instruction allows.
            unsafe {
                let from = self
                    .base()
                    .as_ptr()
                    .add(words.offset())
                    .cast::<u64>()
                    .wrapping_add(i);
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
        // SAFETY: By the invariants of `Mapping` and `Bits` the bit is mapped, in an aligned word
        // if the structure is aligned. KVM changes these bits by atomic operations alone.
        unsafe {
            let array = self.base().as_ptr().add(array);
            if S::ALIGN % 4 == 0 {
                bitops::test_and_set_in(array.cast(), nr)
            } else {
                bitops::test_and_set(array.add((nr / 8) as usize), nr % 8)
            }
        }
    }

    /// Reads a bit, once.
    #[inline(always)]
    pub(crate) fn test(&self, bits: &Bits<S>, nr: u32) -> bool {
        let (array, nr) = bits.locate(nr);
        // SAFETY: By the invariants of `Mapping` and `Bits` the byte is mapped.
        let byte = unsafe {
            let array = self.base().as_ptr().add(array);
            array.add((nr / 8) as usize).read_volatile()
        };
        byte & (1 << (nr % 8)) != 0
    }
}

/// A structure of which a part may be in another page, to be written.
pub(crate) struct Split<'m> {
    // Before `first`, which is locked first, and whose release has interrupts on again.
    rest: Option<Mapping<'m, Bytes>>,
    rest_len: usize,
    first: Mapping<'m, Bytes>,
    len: usize,
}

impl<'m> Split<'m> {
    /// The structure mapped, of which the second part need not be there. Never waits.
    ///
    /// # Errors
    ///
    /// The part that is not valid, or being changed just now.
    pub(crate) fn try_read<H: InKvmSrcu + MayTryLock>(
        cx: &'m mut Ctx<'_, H>,
        (first, len): Part<'m>,
        second: Option<Part<'m>>,
    ) -> Result<Self, Unmapped> {
        let first = first.try_read_bytes(cx, len).ok_or(Unmapped::First)?;
        let (rest, rest_len) = match second {
            Some((gpc, len)) => (
                Some(gpc.try_read_bytes(cx, len).ok_or(Unmapped::Second)?),
                len,
            ),
            None => (None, 0),
        };
        Ok(Self {
            first,
            len,
            rest,
            rest_len,
        })
    }

    /// The address of the `size` bytes at `at`, if they are in one page.
    #[inline(never)]
    fn within(&self, at: usize, size: usize) -> Option<*mut u8> {
        let end = at.wrapping_add(size);
        if end <= self.len {
            return Some(self.first.base().as_ptr().wrapping_add(at));
        }
        let rest = self.rest.as_ref()?;
        let at = at.checked_sub(self.len)?;
        (at.wrapping_add(size) <= self.rest_len).then(|| rest.base().as_ptr().wrapping_add(at))
    }

    /// Writes a byte; one that is not in the structure is dropped.
    pub(crate) fn write_byte(&self, at: usize, value: u8) {
        if let Some(to) = self.within(at, 1) {
            // SAFETY: By `within` the byte is one of those mapped.
            unsafe { to.write_volatile(value) }
        }
    }

    /// Writes a word, in one store where it is in one page.
    #[inline(never)]
    pub(crate) fn write_u32(&self, at: usize, value: u32) {
        match self.within(at, 4) {
            // SAFETY: By `within` the bytes are mapped. The address need not be aligned, which the
            // instruction allows.
            Some(to) => unsafe {
                asm!("mov dword ptr [{to}], {value:e}", to = in(reg) to, value = in(reg) value,
                    options(nostack, preserves_flags));
            },
            None => self.write_bytes(at, &value.to_le_bytes()),
        }
    }

    /// Writes double words from `at` on, as [`write_u64`](Self::write_u64) each.
    pub(crate) fn write_u64s(&self, at: usize, values: &[u64]) {
        for (i, &value) in values.iter().enumerate() {
            self.write_u64(at.wrapping_add(8 * i), value);
        }
    }

    /// Writes a double word, in one store where it is in one page.
    #[inline(never)]
    fn write_u64(&self, at: usize, value: u64) {
        match self.within(at, 8) {
            // SAFETY: As in `write_u32`.
            Some(to) => unsafe {
                asm!("mov qword ptr [{to}], {value}", to = in(reg) to, value = in(reg) value,
                    options(nostack, preserves_flags));
            },
            None => self.write_bytes(at, &value.to_le_bytes()),
        }
    }

    #[cold]
    #[inline(never)]
    fn write_bytes(&self, at: usize, bytes: &[u8]) {
        for (i, &byte) in bytes.iter().enumerate() {
            self.write_byte(at.wrapping_add(i), byte);
        }
    }

    /// Orders what was written before ahead of what is written next, as the guest sees it.
    pub(crate) fn publish(&self) {
        smp_wmb();
    }

    /// Notes that the pages have been written to.
    pub(crate) fn mark_dirty(&self) {
        self.first.mark_dirty();
        if let Some(rest) = &self.rest {
            rest.mark_dirty();
        }
    }
}
